import CLinuxHeaders
import Glibc
import Testing

/// A program of a test, started without a shell; nobody inherits more than it is given.
struct Program: Sendable {
    let pid: pid_t

    init(_ words: [String], input: Int32, output: Int32) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, input, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        var pid: pid_t = 0
        var pointers: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        defer { for pointer in pointers { free(pointer) } }
        try #require(posix_spawnp(&pid, words[0], &actions, nil, &pointers, environ) == 0, "\(words)")
        self.pid = pid
    }

    @discardableResult
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status
    }

    /// Runs a program to its end.
    static func run(_ words: String...) throws {
        let null = open("/dev/null", O_RDWR | O_CLOEXEC)
        defer { close(null) }
        try #require(try Program(words, input: null, output: null).wait() == 0, "\(words)")
    }
}

/// Both ends of a pipe, closed in programs that are started.
func makePipe() throws -> (output: Int32, input: Int32) {
    var ends: [Int32] = [-1, -1]
    try #require(pipe2(&ends, O_CLOEXEC) == 0)
    return (ends[0], ends[1])
}
