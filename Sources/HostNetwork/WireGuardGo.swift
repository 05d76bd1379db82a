import CLinuxHeaders
import Glibc
import NetlinkMessages
import NetworkTypes

/// The program wireguard-go, the WireGuard of hosts whose kernel has none.
public enum WireGuardGo {
    /// How long it may take until it is in the background.
    private static let patience = Duration.seconds(10)

    /// Starts wireguard-go in the background, in this thread's network namespace; it ends when its interface is removed.
    /// - Parameter path: of the program; not searched for.
    /// - Throws: `noTun`; `wireGuardGo` with what it printed, when it does not start.
    public static func start(path: String, interface: InterfaceName) throws(HostNetworkError) {
        try TunDevice.ensure()
        buryOrphans()
        var pipes: [Int32] = [-1, -1]
        guard pipe(&pipes) == 0 else { throw .system(attempt: "make a pipe", errno: errno) }
        defer { close(pipes[0]) }
        _ = fcntl(pipes[0], F_SETFL, O_NONBLOCK)
        let child: pid_t
        do {
            defer { close(pipes[1]) }
            child = try spawn(path, interface, errors: pipes[1])
        }
        // It makes the interface, starts itself once more in the background and exits.
        let deadline = ContinuousClock.now + patience
        var status: Int32 = 0
        while true {
            let result = waitpid(child, &status, WNOHANG)
            if result == child { break }
            guard result == 0 || errno == EINTR else { throw .system(attempt: "wait for \(path)", errno: errno) }
            guard ContinuousClock.now < deadline else {
                kill(child, SIGKILL)
                waitpid(child, &status, 0)
                throw .wireGuardGo(interface, reason: "\(path) did not go to the background within \(patience)")
            }
            usleep(5000)
        }
        guard status == 0 else {
            let text = printable(readAll(pipes[0]), limit: 500)
            throw .wireGuardGo(interface, reason: "\(path) failed (wait status \(status)): \(text)")
        }
    }

    /// As the first process of a container we are the parent of every wireguard-go that went to the background and ended since.
    private static func buryOrphans() {
        guard getpid() == 1 else { return }
        while waitpid(-1, nil, WNOHANG) > 0 {}
    }

    private static func spawn(_ path: String, _ interface: InterfaceName, errors: Int32) throws(HostNetworkError) -> pid_t {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0)
        posix_spawn_file_actions_adddup2(&actions, errors, 2)
        posix_spawn_file_actions_adddup2(&actions, errors, 1)
        // It lives on: nothing else of ours may stay open in it.
        posix_spawn_file_actions_addclosefrom_np(&actions, 3)
        var arguments: [UnsafeMutablePointer<CChar>?] = [strdup(path), strdup(interface.description), nil]
        // Without LOG_LEVEL it is silent once in the background.
        var environment: [UnsafeMutablePointer<CChar>?] = [strdup("PATH=/usr/sbin:/usr/bin:/sbin:/bin"), nil]
        defer { for pointer in arguments + environment { free(pointer) } }
        var child: pid_t = 0
        let code = posix_spawn(&child, path, &actions, nil, &arguments, &environment)
        guard code == 0 else { throw .system(attempt: "start \(path)", errno: code) }
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
