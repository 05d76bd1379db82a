import Glibc
import Logging
import NetworkTypes
import NodeDocument

/// Replaces the Envoy that serves: by another that takes over from it where that can be, and plainly where not.
struct EnvoyRestart {
    let host: Host
    /// Envoy's unit as systemd sees it; nil when it does not know it.
    let unit: UnitState?

    /// What the supervisor may take: it gives a new Envoy 60 s to become live, and looks at it before.
    static let patienceSeconds = 75

    /// - Throws: `AgentError` of kind `envoyNotRunning` when there is no new Envoy; the version that serves is chosen again.
    func run() throws(AgentError) -> EnvoyRun.Outcome {
        guard let before = EnvoyRun.read(host.paths), let unit, unit.isRunning, before.supervisor == unit.mainPID else {
            try host.services.restart(.envoy)
            return EnvoyRun.Outcome(kind: .plain, message: "it was not supervised")
        }
        // A running process keeps the limits that it was started with, and gives them to its children.
        if let files = wantedFiles(), files != presentFiles(of: unit.mainPID) {
            let limits = try host.run(
                Command(findProgram("prlimit"), ["--pid", "\(unit.mainPID)", "--nofile=\(files):\(files)"]))
            // A container may not raise them; systemd could not either then, and a restart would change nothing.
            if !limits.succeeded {
                host.logger.warning("the limit of open files stays as it was", metadata: ["cause": "\(limits.complaint)"])
            }
        }
        _ = try host.services.reload(.envoy)
        guard let after = EnvoyRun.read(host.paths), let outcome = after.outcome, after.restarts != before.restarts else {
            throw AgentError(
                .envoyNotRunning, "Envoy's supervisor did not do the restart: \(host.services.lastWords(.envoy))")
        }
        guard outcome.kind != .failed else {
            if let serving = after.serving { _ = try EnvoyBinary(paths: host.paths).choose(serving.version) }
            throw AgentError(.envoyNotRunning, "\(printable(outcome.message, limit: 600)): \(host.services.lastWords(.envoy))")
        }
        return outcome
    }

    /// As the unit says.
    private func wantedFiles() -> Int? {
        let key = "LimitNOFILE="
        return line(of: host.paths.unit(.envoy), beginningWith: key).flatMap { Int($0.dropFirst(key.count)) }
    }

    /// The soft limit, as proc(5) shows it.
    private func presentFiles(of pid: Int32) -> Int? {
        let key = "Max open files "
        return line(of: "\(host.paths.root)/proc/\(pid)/limits", beginningWith: key)
            .flatMap { Int($0.dropFirst(key.count).split(separator: " ").first ?? "") }
    }

    private func line(of path: String, beginningWith key: String) -> Substring? {
        guard let bytes = try? readFile(path) else { return nil }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").first { $0.hasPrefix(key) }
    }
}

extension EnvoyRun.Outcome {
    /// For the event.
    func words(drainSeconds: Int) -> String {
        switch kind {
        case .hot:
            "Envoy was restarted hot: \(printable(message, limit: 600)). No connection was refused, and those of the former one live for "
                + "\(drainSeconds) s at most."
        case .plain: "Envoy was restarted plainly, and its connections were cut: \(printable(message, limit: 600))."
        case .failed: "Envoy was not restarted: \(printable(message, limit: 600))."
        }
    }
}

extension EnvoyRestart {
    /// Asks the supervisor, a process, for a restart, and waits for its outcome.
    static func ask(_ supervisor: Int32, _ paths: HostPaths) throws(AgentError) -> EnvoyRun.Outcome {
        let before = EnvoyRun.read(paths)
        try checked("asking Envoy's supervisor, process \(supervisor)") { kill(supervisor, SIGHUP) }
        let deadline = Deadline(milliseconds: patienceSeconds * 1000)
        while deadline.remaining != nil {
            if let run = EnvoyRun.read(paths), run.restarts != before?.restarts, let outcome = run.outcome { return outcome }
            usleep(20_000)
        }
        throw AgentError(.envoyNotRunning, "no new Envoy within \(patienceSeconds) s")
    }
}

extension Agent {
    /// Asks the supervisor for a restart, and waits for its outcome.
    /// - Returns: the outcome in words.
    /// - Throws: `AgentError` of kind `envoyNotRunning`.
    public func restartEnvoy() throws(AgentError) -> String {
        // As its own user the supervisor's word is good enough; root takes nobody's word for whom to send a signal.
        let told = getuid() == 0 ? try host.services.states()[.envoy]?.mainPID : EnvoyRun.read(host.paths)?.supervisor
        guard let supervisor = told, supervisor > 1 else {
            throw AgentError(.envoyNotRunning, "Envoy's supervisor does not run; start \(UnitName.envoy.rawValue)")
        }
        let outcome = try EnvoyRestart.ask(supervisor, host.paths)
        switch outcome.kind {
        case .hot: return "hot restart"
        case .plain: return "plain restart: \(outcome.message)"
        case .failed: throw AgentError(.envoyNotRunning, outcome.message)
        }
    }
}
