import Glibc
import NetworkTypes
import NodeDocument
import Sodium

/// Brings Envoy to the document's configuration: stage, prove, swap, read Envoy's answer, and back when it refused.
struct EnvoyRollout {
    let host: Host
    let folder: EnvoyFolder
    let document: EnvoyDocument
    /// That was in force until now; nil for none.
    let former: EnvoyDocument?
    let facts: EnvoyHost
    /// Envoy's unit as systemd sees it; nil when it does not know it.
    let unit: UnitState?
    /// Of the unit, what a running Envoy must be restarted for.
    let launchText: String
    /// Whether a restart is wanted whatever changes.
    let restartAsked: Bool

    struct Outcome {
        var changes: [String] = []
        /// Listeners that are not served, and why.
        var rejected: [String: String] = [:]
        /// Whether Envoy said that it took the files.
        var isAccepted = false
        /// Whether Envoy was started or restarted.
        var didLaunch = false
        /// How it was restarted and why; nil when it was not.
        var restart: String?
        var problems: [AgentProblem] = []
        /// The bindings without a healthy uplink; nil when that is still to be asked, after a change.
        var starved: [String]?
    }

    /// - Parameter omitted: listeners to leave out from the start.
    func run(omitted: Set<String>, _ state: inout StateFile) throws(AgentError) -> Outcome {
        defer { _ = try? removeTree(folder.staging) }
        var outcome = Outcome()
        var omitted = omitted
        let known = state.value.refusedListeners
        state.value.refusedListeners = [:]
        for listener in document.listeners {
            guard let past = known[listener.name], past.hash == EnvoyProof.hash(listener, version: document.release.version)
            else { continue }
            state.value.refusedListeners[listener.name] = past
            outcome.rejected[listener.name] = past.message
            omitted.insert(listener.name)
        }
        if try folder.prepare() { outcome.changes.append("Envoy's folders made or their access set") }
        // A listener that cannot be bound shows only when Envoy tries; then the others go on without it.
        for _ in 0..<3 {
            let wanted = EnvoyFileSet(document, on: facts, leavingOut: omitted)
            guard let refused = try round(wanted, &outcome, &state) else { return outcome }
            outcome.rejected.merge(refused) { $1 }
            omitted.formUnion(refused.keys)
        }
        throw AgentError(
            .envoyRejected, "Envoy refuses one listener after another: \(Self.list(outcome.rejected)); nothing more was tried")
    }

    /// - Returns: the listeners to leave out in the next round; nil when Envoy took this one.
    private func round(
        _ wanted: EnvoyFileSet, _ outcome: inout Outcome, _ state: inout StateFile
    ) throws(AgentError) -> [String: String]? {
        let (current, wrongAccess) = try folder.read()
        if !wrongAccess.isEmpty {
            try folder.repairAccess(wrongAccess)
            outcome.changes.append("the access of Envoy's files set: \(wrongAccess.joined(separator: " "))")
        }
        let changes = EnvoyFileChanges(from: current, to: wanted)
        if !changes.isEmpty {
            try folder.stage(wanted.files, changed: Self.changedPaths(changes))
            if changes.needsProof {
                let proof = EnvoyProof(host: host, folder: folder, document: document, facts: facts)
                let refused = try proof.refused(wanted.listeners)
                for listener in wanted.listeners {
                    guard let message = refused[listener.name] else { continue }
                    let hash = EnvoyProof.hash(listener, version: document.release.version)
                    state.value.refusedListeners[listener.name] = RefusedListener(hash: hash, message: message)
                }
                if !refused.isEmpty { return refused }
            }
        }
        let launch = launch(wanted, state.value, didLaunch: outcome.didLaunch)
        let before = launch == .none ? (try? host.envoy.stats()) : nil
        do throws(AgentError) {
            if !changes.isEmpty {
                try swap(wanted, changes, isLive: launch == .none)
                outcome.changes += changes.words
            }
            try perform(launch, wanted, &outcome, &state)
            let isQuiet = changes.isEmpty && launch == .none
            switch try answer(wanted, before: isQuiet ? nil : before, patience: launch == .none ? 3000 : 6000) {
            case .accepted(let stats):
                outcome.isAccepted = true
                if isQuiet { outcome.starved = stats.starved }
            case .refused(let listeners): return listeners
            case .silent:
                outcome.problems.append(
                    AgentProblem(
                        kind: .envoyNotRunning,
                        message: "Envoy has not said yet whether it took its files: \(host.services.lastWords(.envoy))"))
            }
        } catch {
            guard error.kind == .envoyRejected || error.kind == .envoyNotRunning, !changes.isEmpty else { throw error }
            let note = try putBack(current, changes, restart: launch != .none)
            throw AgentError(error.kind, "\(error.message); \(note)")
        }
        return nil
    }

    private static func changedPaths(_ changes: EnvoyFileChanges) -> Set<String> {
        var paths = Set(changes.content)
        if changes.bootstrap { paths.insert(EnvoyLayout.bootstrap) }
        if changes.clusters { paths.insert(EnvoyLayout.clusters) }
        if changes.listeners { paths.insert(EnvoyLayout.listeners) }
        return paths
    }

    static func list(_ reasons: [String: String]) -> String {
        reasons.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ")
    }

    // MARK: swap

    /// Moves the staged files into place: what is referred to before what refers to it, and what is gone last.
    private func swap(_ wanted: EnvoyFileSet, _ changes: EnvoyFileChanges, isLive: Bool) throws(AgentError) {
        for path in changes.content { try folder.publish(path) }
        if changes.bootstrap { try folder.publish(EnvoyLayout.bootstrap) }
        let both =
            isLive && changes.clusters && changes.listeners ? EnvoyFileSet.clustersOfBoth(former, document, on: facts) : nil
        if changes.clusters {
            if let both { try folder.publish(both, as: EnvoyLayout.clusters) } else { try folder.publish(EnvoyLayout.clusters) }
            // A listener that moves to a new cluster refuses connections while that one warms up.
            if isLive && changes.listeners { wait(milliseconds: 1000) { $0.warmingClusters == 0 } }
        }
        if changes.listeners { try folder.publish(EnvoyLayout.listeners) }
        if both != nil {
            wait(milliseconds: 1000) { $0.listenersVersion == wanted.listenersVersion }
            try folder.publish(EnvoyLayout.clusters)
        }
        if isLive && !changes.removed.isEmpty {
            wait(milliseconds: 1000) {
                $0.listenersVersion == wanted.listenersVersion && $0.clustersVersion == wanted.clustersVersion
            }
        }
        for path in changes.removed { try folder.remove(path) }
        try folder.finish()
    }

    /// Looks at Envoy until `isDone`, or the time is over; neither is an error here.
    private func wait(milliseconds: Int, _ isDone: (EnvoyStats) -> Bool) {
        let deadline = Deadline(milliseconds: milliseconds)
        while deadline.remaining != nil {
            guard let stats = try? host.envoy.stats() else { return }
            if isDone(stats) { return }
            usleep(5000)
        }
    }

    private func putBack(_ current: [String: [UInt8]], _ changes: EnvoyFileChanges, restart: Bool) throws(AgentError) -> String {
        let changed = Self.changedPaths(changes)
        let old = current.filter { changed.contains($0.key) || changes.removed.contains($0.key) }
        try folder.stage(old, changed: Set(old.keys))
        let last = [EnvoyLayout.clusters, EnvoyLayout.listeners]
        for path in old.keys.filter({ !last.contains($0) }).sorted() + last.filter({ old[$0] != nil }) {
            try folder.publish(path)
        }
        for path in changed where current[path] == nil { try folder.remove(path) }
        try folder.finish()
        guard current[EnvoyLayout.bootstrap] != nil else {
            try host.services.stop(.envoy)
            return "there is no former configuration, so Envoy was stopped"
        }
        if restart { _ = try EnvoyRestart(host: host, unit: unit).run() }
        return "the former configuration was put back"
    }

    // MARK: launch and answer

    private enum Launch: Equatable {
        case none
        case start
        case restart(reason: String)
    }

    private func fingerprint(_ wanted: EnvoyFileSet) -> SHA256Digest {
        SHA256.digest(of: (wanted.files[EnvoyLayout.bootstrap] ?? []) + Array(launchText.utf8))
    }

    /// - Parameter didLaunch: whether an earlier round started it.
    private func launch(_ wanted: EnvoyFileSet, _ state: HostState, didLaunch: Bool) -> Launch {
        guard didLaunch || unit?.isRunning == true else { return .start }
        if !didLaunch, let run = EnvoyRun.read(host.paths), run.serving == nil, run.supervisor == unit?.mainPID {
            return .restart(reason: "none was serving")
        }
        if restartAsked && !didLaunch { return .restart(reason: "a restart was asked for") }
        if state.envoyStartedWith != fingerprint(wanted) { return .restart(reason: "its bootstrap or limits changed") }
        return .none
    }

    private func perform(
        _ launch: Launch, _ wanted: EnvoyFileSet, _ outcome: inout Outcome, _ state: inout StateFile
    ) throws(AgentError) {
        switch launch {
        case .none: return
        case .start:
            try host.services.forgetFailure(.envoy)
            try host.services.start(.envoy)
            outcome.changes.append("Envoy started")
        case .restart(let reason):
            let how = try EnvoyRestart(host: host, unit: unit).run()
            outcome.restart = "\(how.words(drainSeconds: document.drainSeconds)) Asked for because \(reason)."
            outcome.changes.append("Envoy restarted (\(how.kind.rawValue)): \(reason)")
        }
        outcome.didLaunch = true
        state.value.envoyStartedWith = fingerprint(wanted)
        try state.save()
    }

    private enum Answer {
        case accepted(EnvoyStats)
        case refused([String: String])
        case silent
    }

    private func answer(_ wanted: EnvoyFileSet, before: EnvoyStats?, patience: Int) throws(AgentError) -> Answer {
        let deadline = Deadline(milliseconds: patience)
        var complaint = ""
        while deadline.remaining != nil {
            do throws(AgentError) {
                let stats = try host.envoy.stats()
                complaint = ""
                if stats.listenersVersion == wanted.listenersVersion && stats.clustersVersion == wanted.clustersVersion {
                    return .accepted(stats)
                }
                if stats.clustersRejected > before?.clustersRejected ?? 0 && stats.clustersVersion != wanted.clustersVersion {
                    throw AgentError(.envoyRejected, "Envoy refuses the clusters: \(host.services.lastWords(.envoy))")
                }
                if stats.listenersRejected > before?.listenersRejected ?? 0 && stats.listenersVersion != wanted.listenersVersion {
                    let names = Set(wanted.listeners.map(\.name))
                    let refused = try host.envoy.refusedListeners().filter { names.contains($0.key) }
                    if !refused.isEmpty { return .refused(refused) }
                }
            } catch {
                if error.kind == .envoyRejected { throw error }
                complaint = error.message
            }
            usleep(5000)
        }
        if complaint.isEmpty { return .silent }
        throw AgentError(
            .envoyNotRunning, "Envoy does not run or does not answer (\(complaint)): \(host.services.lastWords(.envoy))")
    }
}
