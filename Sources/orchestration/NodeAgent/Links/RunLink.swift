import CLinuxHeaders
import Glibc
import HostNetwork
import Logging
import NodeDocument
import Sodium
import Syscalls

/// `edge-agent run-link`: starts link programs as `LinkSupervisor` decides, and does nothing else. It runs as the link program's user.
/// SIGHUP asks for a new program beside the one that serves, SIGTERM for the end.
///
/// One thread, which sleeps in sigtimedwait(2): a link program asks the kernel to be ended when the thread that started it is.
public struct RunLink {
    private let host: Host
    private var supervisor = LinkSupervisor()

    public init(host: Host) { self.host = host }

    /// Until SIGTERM.
    public mutating func run() throws(AgentError) {
        var signals = AwaitedSignals([SIGHUP, SIGTERM, SIGINT, SIGCHLD])
        // Where there is no systemd.
        if getuid() == 0 { try Confinement.link(host).enter() }
        forbidDumps()
        if perform(.tick) { return }
        while true {
            switch signals.next(within: 500) {
            case SIGHUP: if perform(.restartAsked) { return }
            case SIGTERM, SIGINT: if perform(.stopAsked) { return }
            default: break
            }
            while let (pid, ending) = (try? endedChild()) ?? nil {
                host.logger.notice("a link program ended", metadata: ["pid": "\(pid)", "status": "\(ending.status)"])
                if perform(.ended(pid: pid)) { return }
            }
            if perform(.tick) { return }
        }
    }

    /// - Returns: whether all is over.
    private mutating func perform(_ event: LinkSupervisor.Event) -> Bool {
        var events = [event]
        while !events.isEmpty {
            for action in supervisor.handle(events.removeFirst(), now: monotonicMilliseconds()) {
                switch action {
                case .start: events.append(start())
                case .terminate(let pid): kill(pid, SIGTERM)
                case .replace(let pid): kill(pid, SIGHUP)
                case .kill(let pid): kill(pid, SIGKILL)
                case .exit: return true
                }
            }
        }
        return false
    }

    private func start() -> LinkSupervisor.Event {
        let build = ((try? readJSON(ProgramRecord.self, from: host.paths.linkRecord)) ?? nil)?.build ?? "unknown"
        do throws(AgentError) {
            let program = Command(
                host.paths.linkProgram,
                [host.paths.linkView, host.paths.linkRuntime, "\(host.paths.linkView)/\(HostPaths.linkKeyName)", build],
                folder: host.paths.linkView)
            let pid = try program.start { $0.environment += Self.inherited }
            host.logger.notice("a link program started", metadata: ["pid": "\(pid)", "build": "\(build)"])
            return .started(pid: pid)
        } catch {
            host.logger.error("the link program was not started", metadata: ["reason": "\(error.message)"])
            return .notStarted
        }
    }

    /// How it logs.
    private static var inherited: [String] {
        let names: [String] = ["LOG_FORMAT", "LOG_LEVEL"]
        return names.compactMap { name in getenv(name).map { "\(name)=\(String(cString: $0))" } }
    }
}
