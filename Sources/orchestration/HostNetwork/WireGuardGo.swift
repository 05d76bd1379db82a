import Glibc
public import NetlinkMessages
import NetworkTypes
import Syscalls

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
    /// - Returns: its wait status and what it printed, at most 128 KiB; nil when it had to be killed.
    static func run(
        _ program: Program, _ arguments: [String], patience: Duration
    ) throws(HostNetworkError) -> (status: Int32, output: String)? {
        // Without LOG_LEVEL it is silent once in the background.
        let spawn = Spawn(
            program.path, program.arguments + arguments, environment: ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"] + Self.environment)
        let finished = try attempting("start \(program.path)") { () throws(SystemFailure) in
            try spawn.run(.withOutput, limit: 64 << 10, until: .now + patience)
        }
        return finished.map { ($0.ending.status, String(decoding: $0.output, as: UTF8.self)) }
    }

    /// As the first process of a container we are the parent of every wireguard-go that went to the background and ended since.
    private static func buryOrphans() {
        guard getpid() == 1 else { return }
        while (try? endedChild()) ?? nil != nil {}
    }
}
