import CLinuxHeaders
import Glibc
import NetlinkMessages
import NetworkTypes

/// The program wireguard-go, the WireGuard of hosts whose kernel has none.
public enum WireGuardGo {
    /// Of every wireguard-go. One of 2025 holds 300 MB after eight connections at full speed; with this 135 MB, at nine tenths of the
    /// throughput (with 128MiB 100 MB, at two thirds; 0.0.20260522, two cores). Go's runtime takes it as a wish, and goes beyond where it must.
    public static let environment = ["GOMEMLIMIT=160MiB"]

    /// How long it may take until it is in the background.
    private static let patience = Duration.seconds(10)

    /// Starts wireguard-go in the background, in this thread's network namespace; it ends when its interface is removed.
    /// - Throws: `noTun`; `wireGuardGo` with what it printed, when it does not start.
    public static func start(_ program: Program, interface: InterfaceName) throws(HostNetworkError) {
        try TunDevice.ensure()
        buryOrphans()
        // It makes the interface, starts itself once more in the background and exits.
        guard let ending = try run(program, [interface.description], patience: patience) else {
            throw .wireGuardGo(interface, reason: "\(program.path) did not go to the background within \(patience)")
        }
        guard ending.status == 0 else {
            let text = printable(lastingWords(of: ending.output), limit: 500)
            throw .wireGuardGo(interface, reason: "\(program.path) failed (wait status \(ending.status)): \(text)")
        }
    }

    /// Runs the program until it ends or goes to the background.
    /// - Returns: its wait status and what it printed, at most what a pipe holds (64 KiB); nil when it had to be killed.
    static func run(
        _ program: Program, _ arguments: [String], patience: Duration
    ) throws(HostNetworkError) -> (status: Int32, output: String)? {
        var pipes: [Int32] = [-1, -1]
        guard pipe(&pipes) == 0 else { throw .system(attempt: "make a pipe", errno: errno) }
        defer { close(pipes[0]) }
        _ = fcntl(pipes[0], F_SETFL, O_NONBLOCK)
        let child: pid_t
        do {
            defer { close(pipes[1]) }
            child = try spawn(program, arguments, output: pipes[1])
        }
        let deadline = ContinuousClock.now + patience
        var status: Int32 = 0
        while true {
            let result = waitpid(child, &status, WNOHANG)
            if result == child { return (status, readAll(pipes[0])) }
            guard result == 0 || errno == EINTR else { throw .system(attempt: "wait for \(program.path)", errno: errno) }
            guard ContinuousClock.now < deadline else {
                kill(child, SIGKILL)
                waitpid(child, &status, 0)
                return nil
            }
            usleep(5000)
        }
    }

    /// As the first process of a container we are the parent of every wireguard-go that went to the background and ended since.
    private static func buryOrphans() {
        guard getpid() == 1 else { return }
        while waitpid(-1, nil, WNOHANG) > 0 {}
    }

    private static func spawn(_ program: Program, _ arguments: [String], output: Int32) throws(HostNetworkError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, output, 2)
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        // It lives on: nothing else of ours may stay open in it.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var words: [UnsafeMutablePointer<CChar>?] = program.command(arguments).map { strdup($0) } + [nil]
        // Without LOG_LEVEL it is silent once in the background.
        var environment: [UnsafeMutablePointer<CChar>?] =
            (["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + Self.environment).map { strdup($0) } + [nil]
        defer { for pointer in words + environment { free(pointer) } }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores, as SwiftNIO has it ignore SIGPIPE, its children shall not.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
        var child: pid_t = 0
        let code = posix_spawn(&child, program.path, &actions, &attributes, &words, &environment)
        guard code == 0 else { throw .system(attempt: "start \(program.path)", errno: code) }
        return child
    }

    private static func readAll(_ descriptor: Int32) -> String {
        var text: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 4096)
        while true {
            let count = read(descriptor, &buffer, buffer.count)
            guard count > 0 else { break }
            text += buffer.prefix(count)
        }
        return String(decoding: text, as: UTF8.self)
    }
}
