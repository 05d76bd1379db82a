import CLinuxHeaders
import Glibc
import HostNetwork
import Logging
import NodeDocument
import Syscalls

/// Plays systemd's part for one unit, on a host without it: starts its process, and again when it ended.
public struct Keeper {
    private let host: Host
    private let unit: UnitName

    /// Bytes of a log that are enough; then it begins anew.
    private static let logLimit = 4 << 20

    public init(host: Host, unit: UnitName) {
        self.host = host
        self.unit = unit
    }

    /// Until SIGTERM.
    public func run() throws(AgentError) {
        let path = host.paths.keeper(unit)
        let file = try attempting("opening \(path)") { () throws(SystemFailure) in
            try Descriptor.open(path, O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
        }
        guard flock(file.number, LOCK_EX | LOCK_NB) == 0 else { throw AgentError(.busy, "\(unit.rawValue) has a keeper already") }
        var signals = AwaitedSignals([SIGTERM, SIGINT, SIGCHLD])
        forbidDumps()
        var child: pid_t?
        var isStopping: Deadline?
        while true {
            if child == nil {
                if isStopping != nil { return }
                child = start()
                write(child, to: file)
            }
            let signal = signals.next(within: 1000)
            if signal == SIGTERM || signal == SIGINT, let child {
                isStopping = isStopping ?? Deadline(milliseconds: unit.stopMilliseconds)
                kill(child, SIGTERM)
            }
            if let isStopping, isStopping.remaining == nil, let child { kill(child, SIGKILL) }
            while let (pid, ending) = (try? endedChild()) ?? nil {
                guard pid == child else { continue }
                child = nil
                if isStopping == nil {
                    host.logger.error(
                        "ended, and is started again", metadata: ["unit": "\(unit.rawValue)", "status": "\(ending.status)"])
                    sleep(1)
                }
            }
            if let log = try? Descriptor(borrowing: STDERR_FILENO).status(), isRegularFile(log), log.st_size > Self.logLimit {
                ftruncate(STDERR_FILENO, 0)
            }
        }
    }

    private func start() -> pid_t? {
        do throws(AgentError) {
            switch unit {
            case .envoy: return try Command(host.paths.agent, ["run-envoy"]).start()
            case .link: return try Command(host.paths.agent, ["run-link"]).start()
            case .wireGuard, .boot:
                try makeFolder(host.paths.wireGuardSockets, .secretFolder)
                let pid = try Command(host.paths.agent, ["run-wireguard"]).start { $0.environment += WireGuardGo.environment }
                // Gives the new interface its addresses and peers.
                _ = try Command(host.paths.agent, ["boot"]).start()
                return pid
            }
        } catch {
            host.logger.error("not started", metadata: ["unit": "\(unit.rawValue)", "reason": "\(error.message)"])
            return nil
        }
    }

    private func write(_ child: pid_t?, to file: Descriptor) {
        let text = "\(getpid())\n\(child ?? 0)\n"
        ftruncate(file.number, 0)
        _ = pwrite(file.number, text, text.utf8.count, 0)
    }
}

extension UnitName {
    /// The agent's command that keeps it.
    public var keeperVerb: String {
        switch self {
        case .envoy: "keep-envoy"
        case .link: "keep-link"
        case .wireGuard, .boot: "keep-wireguard"
        }
    }

    /// How long it may take to end.
    var stopMilliseconds: Int { self == .link ? (LinkSupervisor.patience + 5) * 1000 : 10_000 }
}
