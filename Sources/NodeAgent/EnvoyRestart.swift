import Glibc
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
            guard limits.succeeded else {
                try host.services.restart(.envoy)
                return EnvoyRun.Outcome(kind: .plain, message: "its limits cannot be changed (\(limits.complaint))")
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
            "Envoy was restarted hot: no connection was refused, and those of the former Envoy live for \(drainSeconds) s at most."
        case .plain: "Envoy was restarted plainly, and its connections were cut: \(printable(message, limit: 600))."
        case .failed: "Envoy was not restarted: \(printable(message, limit: 600))."
        }
    }
}

extension Agent {
    /// Asks the supervisor for a restart, and waits for its outcome.
    /// - Returns: the outcome in words.
    /// - Throws: `AgentError` of kind `envoyNotRunning`.
    public func restartEnvoy() throws(AgentError) -> String {
        guard let before = EnvoyRun.read(host.paths) else {
            throw AgentError(.envoyNotRunning, "Envoy's supervisor does not run; start tidegate-envoy.service")
        }
        try checked("asking Envoy's supervisor, process \(before.supervisor)") { kill(before.supervisor, SIGHUP) }
        let deadline = Deadline(milliseconds: EnvoyRestart.patienceSeconds * 1000)
        while deadline.remaining != nil {
            if let run = EnvoyRun.read(host.paths), run.restarts != before.restarts, let outcome = run.outcome {
                if outcome.kind == .failed { throw AgentError(.envoyNotRunning, outcome.message) }
                return outcome.kind == .hot ? "hot restart" : "plain restart: \(outcome.message)"
            }
            usleep(20_000)
        }
        throw AgentError(.envoyNotRunning, "no new Envoy within \(EnvoyRestart.patienceSeconds) s")
    }
}
