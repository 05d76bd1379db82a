import CLinuxHeaders
import Glibc
import HostNetwork
import Logging
import NodeDocument

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
        let file = try checked("opening \(path)") { open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600) }
        defer { close(file) }
        guard flock(file, LOCK_EX | LOCK_NB) == 0 else { throw AgentError(.busy, "\(unit.rawValue) has a keeper already") }
        var signals = sigset_t()
        sigemptyset(&signals)
        for signal in [SIGTERM, SIGINT, SIGCHLD] { sigaddset(&signals, signal) }
        sigprocmask(SIG_BLOCK, &signals, nil)
        forbidDumps()
        var child: pid_t?
        var isStopping: Deadline?
        while true {
            if child == nil {
                if isStopping != nil { return }
                child = start()
                write(child, to: file)
            }
            var wait = timespec(tv_sec: 1, tv_nsec: 0)
            let signal = sigtimedwait(&signals, nil, &wait)
            if signal == SIGTERM || signal == SIGINT, let child {
                isStopping = isStopping ?? Deadline(milliseconds: 10_000)
                kill(child, SIGTERM)
            }
            if let isStopping, isStopping.remaining == nil, let child { kill(child, SIGKILL) }
            var status: Int32 = 0
            while case let pid = waitpid(-1, &status, WNOHANG), pid > 0 {
                guard pid == child else { continue }
                child = nil
                if isStopping == nil {
                    host.logger.error(
                        "ended, and is started again", metadata: ["unit": "\(unit.rawValue)", "status": "\(status)"])
                    sleep(1)
                }
            }
            var log = stat()
            if fstat(STDERR_FILENO, &log) == 0, isRegularFile(log), log.st_size > Self.logLimit { ftruncate(STDERR_FILENO, 0) }
        }
    }

    private func start() -> pid_t? {
        do throws(AgentError) {
            switch unit {
            case .envoy: return try Spawn(Command(host.paths.agent, ["run-envoy"])).start()
            case .wireGuard, .boot:
                try makeFolder(host.paths.wireGuardSockets, .secretFolder)
                var spawn = Spawn(Command(host.paths.agent, ["run-wireguard"]))
                spawn.environment = WireGuardGo.environment
                let pid = try spawn.start()
                // Gives the new interface its addresses and peers.
                _ = try Spawn(Command(host.paths.agent, ["boot"])).start()
                return pid
            }
        } catch {
            host.logger.error("not started", metadata: ["unit": "\(unit.rawValue)", "reason": "\(error.message)"])
            return nil
        }
    }

    private func write(_ child: pid_t?, to file: Int32) {
        let text = "\(getpid())\n\(child ?? 0)\n"
        ftruncate(file, 0)
        _ = pwrite(file, text, text.utf8.count, 0)
    }
}
