import Glibc

/// A program started by a test. Foundation's `Process` waits for ever when a long-lived sibling, such as an sshd, has
/// inherited its descriptors; here nothing hangs on when a descriptor is closed.
struct Spawned: Sendable {
    let pid: pid_t

    /// - Parameter output: the descriptor that becomes standard output and error.
    init(_ program: String, _ arguments: [String], output: Int32) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        var words: [UnsafeMutablePointer<CChar>?] = ([program] + arguments).map { strdup($0) }
        words.append(nil)
        defer { for word in words { free(word) } }
        var pid: pid_t = 0
        let code = posix_spawn(&pid, program, &actions, nil, words, environ)
        guard code == 0 else { throw CommandFailed(program: program, arguments: arguments, output: "error \(code)") }
        self.pid = pid
    }

    /// - Returns: the exit status; 128 and more for a signal.
    @discardableResult
    func wait() -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
    }
}

struct CommandFailed: Error {
    let program: String
    let arguments: [String]
    let output: String
}

/// Runs a program to its end.
/// - Returns: what it printed.
@discardableResult
func run(_ program: String, _ arguments: [String]) throws -> String {
    var path = Array("/tmp/tidegate-ssh-output-XXXXXX".utf8CString)
    let file = mkstemp(&path)
    defer { close(file) }
    unlink(path)
    _ = fcntl(file, F_SETFD, FD_CLOEXEC)
    let status = try Spawned(program, arguments, output: file).wait()
    lseek(file, 0, SEEK_SET)
    var output: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 4096)
    while true {
        let count = read(file, &buffer, buffer.count)
        if count <= 0 { break }
        output += buffer[..<count]
    }
    let text = String(decoding: output, as: UTF8.self)
    guard status == 0 else { throw CommandFailed(program: program, arguments: arguments, output: text) }
    return text
}
