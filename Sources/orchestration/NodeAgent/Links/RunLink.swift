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
    /// Where the programs find the key.
    private var key = ""

    /// The key's name in systemd's folder of the unit's credentials (systemd.exec(5)).
    static let credential = "link.key"

    public init(host: Host) { self.host = host }

    /// Until SIGTERM.
    public mutating func run() throws(AgentError) {
        var signals = AwaitedSignals([SIGHUP, SIGTERM, SIGINT, SIGCHLD])
        if getuid() == 0 {
            try confine()
        } else if let folder = getenv("CREDENTIALS_DIRECTORY").map({ String(cString: $0) }) {
            key = "\(folder)/\(Self.credential)"
        } else {
            throw AgentError(
                .unsupportedHost, "this host's systemd gives units no credentials, which links want: it is older than 247")
        }
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

    /// Where there is no systemd. The user may read the key alone of all that root may.
    private mutating func confine() throws(AgentError) {
        guard var seed = try readFile(host.paths.linkKey, limit: 4096) else {
            throw AgentError(.system, "there is no \(host.paths.linkKey); apply the EdgeNode again")
        }
        defer { zero(&seed) }
        try Confinement.link(host).enter()
        key = "\(host.paths.linkRuntime)/\(Self.credential)"
        try replaceFile(key, seed, .secretFile)
    }

    /// - Returns: whether all is over.
    private mutating func perform(_ event: LinkSupervisor.Event) -> Bool {
        var events = [event]
        while !events.isEmpty {
            for action in supervisor.handle(events.removeFirst(), now: monotonicMilliseconds()) {
                switch action {
                case .start: events.append(start())
                case .terminate(let pid): kill(pid, SIGTERM)
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
                host.paths.linkProgram, [host.paths.linkView, host.paths.linkRuntime, key, build], folder: host.paths.linkView)
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
