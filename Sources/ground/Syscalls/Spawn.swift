import CLinuxHeaders
import Glibc

/// How a program is started: no shell is between, it has no other descriptor of this process than those named, and no signal blocked or
/// ignored.
public struct Spawn: Sendable {
    /// A path.
    public var program: String
    /// Whether a bare name is looked for in this process's `PATH`.
    public var searchesPath = false
    public var arguments: [String]
    /// All of it, `NAME=value`.
    public var environment: [String]
    /// Nil for this process's own.
    public var folder: String?
    /// Nil for none.
    public var input: Descriptor?
    /// Nil for this process's own.
    public var output: Descriptor?
    public var errors: Descriptor?
    /// Whether it leaves this process's session, and lives on after its terminal or SSH connection.
    public var startsSession = false

    public init(_ program: String, _ arguments: [String], environment: [String], folder: String? = nil) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.folder = folder
    }

    /// - Returns: its number; whoever gets it waits for its end.
    public func start() throws(SystemFailure) -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        if let input {
            posix_spawn_file_actions_adddup2(&actions, input.number, STDIN_FILENO)
        } else {
            posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        }
        if let output { posix_spawn_file_actions_adddup2(&actions, output.number, STDOUT_FILENO) }
        if let errors { posix_spawn_file_actions_adddup2(&actions, errors.number, STDERR_FILENO) }
        posix_spawn_file_actions_addclosefrom_np(&actions, STDERR_FILENO + 1)
        if let folder { posix_spawn_file_actions_addchdir_np(&actions, folder) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK) | (startsSession ? POSIX_SPAWN_SETSID : 0)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var process: Int32 = 0
        let code = withCStrings([program] + arguments) { words in
            withCStrings(environment) { variables in
                searchesPath
                    ? posix_spawnp(&process, program, &actions, &attributes, words, variables)
                    : posix_spawn(&process, program, &actions, &attributes, words, variables)
            }
        }
        guard code == 0 else { throw SystemFailure("posix_spawn", code) }
        return process
    }
}

extension Descriptor {
    /// Two stream sockets that are connected to each other. No child inherits either, but as its `input`, `output` or `errors`.
    public static func pair() throws(SystemFailure) -> (Descriptor, Descriptor) {
        var ends: [Int32] = [-1, -1]
        try calling("socketpair") { socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0, &ends) }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }

    /// What is written to one end comes out of the other. No child inherits either, but as its `input`, `output` or `errors`.
    public static func pipe() throws(SystemFailure) -> (output: Descriptor, input: Descriptor) {
        var ends: [Int32] = [-1, -1]
        try calling("pipe") { pipe2(&ends, O_CLOEXEC) }
        return (Descriptor(owning: ends[0]), Descriptor(owning: ends[1]))
    }
}

/// How a process ended (wait(2), whose macros Swift does not see).
public struct Ending: Hashable, Sendable {
    public let status: Int32

    public init(status: Int32) { self.status = status }

    /// That ended it; 0 for none.
    public var signal: Int32 { status & 0x7F }
    /// 0 where a signal ended it.
    public var exitCode: Int32 { status >> 8 & 0xFF }
}

/// Waits for a child of this process.
public func waitForEnd(of process: Int32) throws(SystemFailure) -> Ending {
    var status: Int32 = 0
    try calling("waitpid") { waitpid(process, &status, 0) }
    return Ending(status: status)
}

/// - Parameter process: -1 for whichever.
/// - Returns: the child that ended; nil while there is none.
public func endedChild(_ process: Int32 = -1) throws(SystemFailure) -> (process: Int32, ending: Ending)? {
    var status: Int32 = 0
    let found = try calling("waitpid") { waitpid(process, &status, WNOHANG) }
    return found == 0 ? nil : (found, Ending(status: status))
}

/// Makes the program the one that this process runs, with its environment.
/// - Parameters:
///   - arguments: its own name is the first.
///   - searchesPath: whether a bare name is looked for in `PATH`.
/// - Returns: only when that failed.
public func replaceProcess(_ program: String, _ arguments: [String], searchesPath: Bool = false) -> SystemFailure {
    SystemFailure(
        "execv",
        withCStrings(arguments) { words in
            (searchesPath ? execvp(program, words) : execv(program, words)) == 0 ? 0 : errno
        })
}

/// Lends the texts as C has argv.
private func withCStrings<Result>(
    _ texts: [String], _ body: (UnsafePointer<UnsafeMutablePointer<CChar>?>) -> Result
) -> Result {
    let pointers: [UnsafeMutablePointer<CChar>?] = texts.map { strdup($0) } + [nil]
    defer { for pointer in pointers { free(pointer) } }
    return body(pointers)
}
