import CLinuxHeaders
import Glibc
import Logging
import NodeDocument
import Syscalls

/// `edge-agent run-envoy`: starts Envoys as `EnvoySupervisor` decides, and does nothing else. It runs as Envoy's user, in the folder that
/// Envoy reads. SIGHUP asks for a restart, SIGTERM for the end.
///
/// One thread, which sleeps in sigtimedwait(2): Envoy asks the kernel to be ended when the thread that started it is.
public struct RunEnvoy {
    private let host: Host
    private var supervisor: EnvoySupervisor
    private var written: EnvoyRun?
    /// The prober; nil while it does not run.
    private var prober: pid_t?
    private var proberDue: Int64 = 0

    /// State that a former build left to this one, across exec(2): the Envoys stay the children of this process.
    private static let inheritance = "TIDEGATE_ENVOYS"
    /// Milliseconds between two looks at Envoy, and at the clock when nothing goes on.
    private static let busyInterval: Int64 = 50
    private static let quietInterval: Int64 = 1000
    /// Between two starts of a prober.
    private static let proberPause: Int64 = 1000

    public init(host: Host) {
        self.host = host
        supervisor = EnvoySupervisor(launch: EnvoyLaunch(drainSeconds: 0, hasUDP: false, maxConnections: 0))
    }

    /// Until SIGTERM.
    public mutating func run() throws(AgentError) {
        var signals = AwaitedSignals([SIGHUP, SIGTERM, SIGINT, SIGCHLD])
        if getuid() == 0 { try Confinement.envoy(host).enter() }
        forbidDumps()
        defer { endProber() }
        keepProber()
        if let text = getenv(Self.inheritance).map({ String(cString: $0) }) {
            unsetenv(Self.inheritance)
            supervisor = try decodeInheritance(text)
            host.logger.info("took the Envoys over from the former build")
            try restart()
        } else {
            if try perform(.begin) { return }
        }
        while true {
            let interval = supervisor.isBusy ? Self.busyInterval : Self.quietInterval
            switch signals.next(within: interval) {
            case SIGHUP:
                becomeNewBuild()
                try restart()
            case SIGTERM, SIGINT: if try perform(.stopAsked) { return }
            default: break
            }
            if try reap() { return }
            keepProber()
            for process in supervisor.processes where process.phase == .starting && isLive(process) {
                if try perform(.live(pid: process.pid)) { return }
            }
            if try perform(.tick) { return }
        }
    }

    // MARK: events

    private mutating func restart() throws(AgentError) {
        let candidate: Result<EnvoyProgram, AgentError>
        do throws(AgentError) {
            let program = try program()
            try validate()
            candidate = .success(program)
        } catch {
            candidate = .failure(error)
        }
        _ = try perform(.restartAsked(candidate))
    }

    private mutating func reap() throws(AgentError) -> Bool {
        while let (pid, ending) = (try? endedChild()) ?? nil {
            if pid == prober {
                prober = nil
                host.logger.error(
                    "the prober of the uplinks ended and is started again", metadata: ["status": "\(ending.status)"])
                continue
            }
            let signal = ending.signal
            let how = signal == 0 ? "ended with status \(ending.exitCode)" : "was ended by signal \(signal)"
            host.logger.notice("an Envoy ended", metadata: ["pid": "\(pid)", "how": "\(how)"])
            if try perform(.ended(pid: pid, how: how)) { return true }
        }
        return false
    }

    /// - Returns: whether all is over.
    private mutating func perform(_ event: EnvoySupervisor.Event) throws(AgentError) -> Bool {
        // A broken file leaves what was known: Envoy must come back whatever happens.
        if let launch = (try? readJSON(EnvoyLaunch.self, from: host.paths.envoyView + "/" + EnvoyLayout.launch)) ?? nil {
            supervisor.launch = launch
        }
        var events = [event]
        var isOver = false
        while !events.isEmpty {
            for action in supervisor.handle(events.removeFirst(), now: monotonicMilliseconds()) {
                switch action {
                case .start(let start): events.append(self.start(start))
                case .terminate(let pid): kill(pid, SIGTERM)
                case .kill(let pid): kill(pid, SIGKILL)
                case .askAgain: try restart()
                case .clear(let base): clear(base)
                case .unmark(let base): unmark(base)
                case .exit: isOver = true
                }
            }
        }
        let report = supervisor.report(supervisor: getpid())
        if report != written {
            if let outcome = report.outcome, outcome != written?.outcome || report.restarts != written?.restarts {
                host.logger.notice(
                    "restart", metadata: ["outcome": "\(outcome.kind.rawValue)", "details": "\(outcome.message)"])
            }
            try replaceFile(host.paths.envoyRun, try jsonLine(report), .secretFile)
            written = report
        }
        return isOver
    }

    // MARK: the prober

    /// Starts what tells Envoy of its uplinks, and again when it ended.
    private mutating func keepProber() {
        guard prober == nil, monotonicMilliseconds() >= proberDue else { return }
        proberDue = monotonicMilliseconds() + Self.proberPause
        do throws(AgentError) {
            prober = try Command(host.paths.agent, ["probe-uplinks"], folder: host.paths.envoyView).start()
        } catch {
            host.logger.error("the prober of the uplinks was not started", metadata: ["reason": "\(error.message)"])
        }
    }

    private func endProber() {
        if let prober { kill(prober, SIGKILL) }
    }

    // MARK: Envoy

    private var binary: String { host.paths.envoyLink + "/envoy" }

    private func program() throws(AgentError) -> EnvoyProgram {
        let version = try host.run(Command(binary, ["--version"], timeoutSeconds: 20))
        // Which it prints on standard error.
        let hot = try host.run(Command(binary, ["--hot-restart-version"], timeoutSeconds: 20))
        guard version.succeeded, hot.succeeded,
            let program = EnvoyProgram.parse(versionText: version.output, hotRestartText: hot.output + hot.errors)
        else {
            let complaint = version.succeeded ? hot.complaint : version.complaint
            throw AgentError(.envoyNotRunning, "Envoy does not run: \(complaint)")
        }
        return program
    }

    /// A bootstrap that Envoy refuses would cost the one that serves its admin interface: a new one closes that before it reads its own.
    private func validate() throws(AgentError) {
        let result = try host.run(
            Command(
                binary,
                ["--config-path", EnvoyLayout.bootstrap, "--mode", "validate", "--disable-hot-restart", "--log-level", "error"],
                timeoutSeconds: 30))
        guard result.succeeded else {
            throw AgentError(.envoyRejected, "Envoy refuses its bootstrap: \(EnvoyProof.reason(result.errors))")
        }
    }

    private func start(_ start: EnvoySupervisor.Start) -> EnvoySupervisor.Event {
        do throws(AgentError) {
            let program = try program()
            let base: Int
            if let known = start.base { base = known } else { base = try freshBase() }
            let arguments = start.arguments(base: base, drainSeconds: supervisor.launch.drainSeconds)
            let pid = try Command(binary, arguments).start()
            host.logger.notice(
                "an Envoy started", metadata: ["pid": "\(pid)", "version": "\(program.version)", "epoch": "\(start.epoch)"])
            return .started(start, base: base, pid: pid, program)
        } catch {
            host.logger.error("Envoy was not started", metadata: ["reason": "\(error.message)"])
            return .notStarted(start, reason: error.message)
        }
    }

    /// What `/server_info` says, under Envoy's names.
    private struct ServerInfo: Decodable {
        struct Options: Decodable {
            var base: String
            var epoch: Int

            enum CodingKeys: String, CodingKey {
                case base = "base_id"
                case epoch = "restart_epoch"
            }
        }
        var state: String
        var options: Options

        enum CodingKeys: String, CodingKey {
            case state
            case options = "command_line_options"
        }
    }

    /// The former Envoy may still be the one that answers.
    private func isLive(_ process: EnvoySupervisor.Process) -> Bool {
        guard let reply = try? host.askEnvoy("/server_info", 1 << 20), reply.status == 200,
            let info = try? DocumentJSON.decode(ServerInfo.self, from: reply.body, within: .ofEnvoysUser)
        else { return false }
        return info.state == "LIVE" && info.options.base == "\(process.base)" && info.options.epoch == process.epoch
    }

    // MARK: what a chain leaves behind

    /// Envoy's shared memory has ten times the base id in its name (`HotRestartImpl`), and its numbers hold 32 bits.
    private func sharedMemory(_ base: Int) -> String { host.paths.sharedMemory + "/envoy_shared_memory_\(base)0" }

    private func freshBase() throws(AgentError) -> Int {
        var base = Int(monotonicMilliseconds()) % 90_000_000 + 1
        while try statusOf(sharedMemory(base)) != nil { base += 1 }
        return base
    }

    private func unmark(_ base: Int) {
        do throws(AgentError) {
            _ = try HotRestartMemory(path: sharedMemory(base)).forgetInitialization()
        } catch {
            host.logger.error(
                "no further hot restart may be possible until Envoy's unit is restarted", metadata: ["cause": "\(error.message)"])
        }
    }

    private func clear(_ base: Int) {
        unlink(sharedMemory(base))
        let names = (try? namesInFolder(host.paths.runtime)) ?? []
        for name in names where name.hasPrefix(EnvoyLayout.hotRestartPrefix) && name.dropLast().hasSuffix("_\(base)") {
            unlink("\(host.paths.runtime)/\(name)")
        }
    }

    // MARK: this process

    private func decodeInheritance(_ text: String) throws(AgentError) -> EnvoySupervisor {
        do throws(DocumentError) {
            return try DocumentJSON.decode(EnvoySupervisor.self, from: Array(text.utf8))
        } catch {
            throw AgentError(.system, "the former build's Envoys cannot be taken over: \(error.message)")
        }
    }

    /// Goes on as the agent that lies on the disk now, where that is another. Stays what it is when that fails.
    private mutating func becomeNewBuild() {
        guard AgentBuild.current(host.paths) != host.build, let state = try? jsonLine(supervisor) else { return }
        setenv(Self.inheritance, String(decoding: state, as: UTF8.self), 1)
        // The new build starts its own.
        endProber()
        let failure = replaceProcess(host.paths.agent, [host.paths.agent, "run-envoy"])
        host.logger.error("the new build cannot be run", metadata: ["cause": "\(failure.reason)"])
        unsetenv(Self.inheritance)
    }
}
