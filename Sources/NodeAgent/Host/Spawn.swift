import CLinuxHeaders
import Glibc
import NodeDocument

/// How a program is started: with no standard input, a fixed environment and no signal blocked or ignored.
struct Spawn {
    let command: Command
    /// Nil for this process's own.
    var output: Int32?
    var errors: Int32?
    /// Whether it leaves this process's session, and lives on after its terminal or SSH connection.
    var startsSession = false

    /// Beside the fixed ones, `NAME=value`.
    var environment: [String] = []

    init(_ command: Command) { self.command = command }

    func start() throws(AgentError) -> pid_t {
        let program = command.program
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        if let output { posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO) }
        if let errors { posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO) }
        if let folder = command.folder { posix_spawn_file_actions_addchdir_np(&actions, folder) }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var signals = sigset_t()
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        // The agent ignores these; its children shall not.
        sigaddset(&signals, SIGPIPE)
        sigaddset(&signals, SIGHUP)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        let flags = Int32(POSIX_SPAWN_SETSIGDEF) | Int32(POSIX_SPAWN_SETSIGMASK) | (startsSession ? POSIX_SPAWN_SETSID : 0)
        posix_spawnattr_setflags(&attributes, Int16(flags))
        var process: pid_t = 0
        let environment = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C", "SYSTEMD_COLORS=0"] + environment
        var argumentPointers: [UnsafeMutablePointer<CChar>?] = ([program] + command.arguments).map { strdup($0) } + [nil]
        var environmentPointers: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) } + [nil]
        defer { for text in argumentPointers + environmentPointers { free(text) } }
        let code = posix_spawn(&process, program, &actions, &attributes, &argumentPointers, &environmentPointers)
        guard code == 0 else { throw AgentError(errno: code, tried: "running \(program)") }
        return process
    }
}
