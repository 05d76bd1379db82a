import EnvoyConfig
import Glibc
import NetworkTypes
import NodeDocument
import Sodium

/// Brings Envoy to a configuration: stage, prove, swap, read Envoy's answer, and back when it refused.
struct EnvoyRollout {
    let host: Host
    let folder: EnvoyFolder
    /// What is brought about: as it was given, but for the bindings that Envoy refuses.
    private(set) var configuration: EnvoyConfiguration
    /// That was in force until now; nil for none.
    let former: EnvoyConfiguration?
    /// Whether this same build showed it to Envoy.
    let isFormerProven: Bool
    let facts: EnvoyHost
    /// Envoy's unit as systemd sees it; nil when it does not know it.
    let unit: UnitState?
    /// Of the unit, what a running Envoy must be restarted for.
    let launchText: String
    /// Whether a restart is wanted whatever changes.
    let restartAsked: Bool
    /// Listeners that wait until an uplink forwards one of their bindings: those that are new.
    let forwarding: ForwardingWait

    struct Outcome {
        var changes: [String] = []
        /// Listeners that are not served, and why.
        var rejected: [String: EnvoyRefusal] = [:]
        /// Bindings that Envoy refuses, and why; the listeners that they share with others are served.
        var refusedBindings: [String: EnvoyRefusal] = [:]
        /// Of these, the ones that go on with the certificate and key that they had before.
        var keptBindings: Set<String> = []
        /// Whether Envoy said that it took the files.
        var isAccepted = false
        /// Whether Envoy was started or restarted.
        var didLaunch = false
        /// How it was restarted and why; nil when it was not.
        var restart: String?
        var problems: [AgentProblem] = []
        /// Listeners left out because no uplink forwards them yet.
        var unforwarded: Set<String> = []
    }

    /// - Parameter omitted: listeners to leave out from the start.
    mutating func run(omitted: Set<String>, _ state: inout StateFile) throws(AgentError) -> Outcome {
        defer { _ = try? removeTree(folder.staging) }
        var outcome = Outcome()
        var omitted = omitted
        let given = configuration
        var hopeless = Set(state.value.leftOutBindings)
        let knownBindings = state.value.refusedBindings
        state.value.refusedBindings = knownBindings.filter { $1.hash == given.hash(ofBinding: $0) }
        outcome.refusedBindings = state.value.refusedBindings.mapValues { EnvoyRefusal(message: $0.message) }
        leaveOut(of: given, &outcome, hopeless)
        let known = state.value.refusedListeners
        state.value.refusedListeners = [:]
        for listener in configuration.listeners {
            guard let past = known[listener.name], past.hash == EnvoyProof.hash(listener, of: configuration, on: facts)
            else { continue }
            state.value.refusedListeners[listener.name] = past
            outcome.rejected[listener.name] = EnvoyRefusal(message: past.message)
            omitted.insert(listener.name)
        }
        if try folder.prepare() { outcome.changes.append("Envoy's folders made or their access set") }
        // A listener that cannot be bound shows only when Envoy tries; then the others go on without it.
        for _ in 0..<5 {
            let wanted = try EnvoyFileSet(configuration, on: facts, leavingOut: omitted)
            guard let refusals = try round(wanted, &outcome, &state) else {
                finish(&outcome, given, &state)
                return outcome
            }
            outcome.rejected.merge(refusals.listeners) { $1 }
            omitted.formUnion(refusals.listeners.keys)
            // Who is refused again with the former secrets has nothing left to go on with.
            hopeless.formUnion(outcome.keptBindings.intersection(refusals.bindings.keys))
            outcome.refusedBindings.merge(refusals.bindings) { first, _ in first }
            leaveOut(of: given, &outcome, hopeless)
        }
        throw AgentError(
            .envoyRejected,
            "Envoy refuses one thing after another: \(Self.list(outcome.rejected.merging(outcome.refusedBindings) { $1 })); "
                + "nothing more was tried")
    }

    /// Leaves out, or gives their former certificates to, the bindings that Envoy refuses.
    private mutating func leaveOut(of given: EnvoyConfiguration, _ outcome: inout Outcome, _ hopeless: Set<String>) {
        let refused = Set(outcome.refusedBindings.keys)
        if refused.isEmpty { return }
        let (envoy, kept) = given.envoy.leavingOut(refused, former: former?.envoy, hopeless: hopeless)
        configuration = given.with(envoy)
        outcome.keptBindings = kept
    }

    /// - Returns: what to leave out in the next round; nil when Envoy took this one.
    private func round(
        _ everything: EnvoyFileSet, _ outcome: inout Outcome, _ state: inout StateFile
    ) throws(AgentError) -> EnvoyRefusals? {
        var wanted = everything
        let (current, wrongAccess) = try folder.read()
        if !wrongAccess.isEmpty {
            try folder.repairAccess(wrongAccess)
            outcome.changes.append("the access of Envoy's files set: \(wrongAccess.joined(separator: " "))")
        }
        var unforwarded = forwarding.now(wanted.listeners)
        if !unforwarded.isEmpty, EnvoyFileChanges(from: current, to: wanted.leavingOut(unforwarded)).isEmpty {
            // All else is done: there is nothing to prove until they come.
            unforwarded = forwarding.wait(wanted.listeners)
            wanted = wanted.leavingOut(unforwarded)
        }
        let changes = EnvoyFileChanges(from: current, to: wanted)
        if !changes.isEmpty {
            try folder.stage(wanted.files, changed: Self.changedPaths(changes))
            if changes.needsProof {
                let proof = EnvoyProof(host: host, folder: folder, configuration: configuration, facts: facts)
                let refused = try proof.refused(
                    wanted.listeners, former: isFormerProven ? former : nil, unproven: Set(state.value.leftOut),
                    unprovenBindings: Set(state.value.leftOutBindings), alsoBootstrap: changes.bootstrap)
                for listener in wanted.listeners {
                    guard let refusal = refused.listeners[listener.name], refusal.isProven else { continue }
                    let hash = EnvoyProof.hash(listener, of: configuration, on: facts)
                    state.value.refusedListeners[listener.name] = RefusedListener(hash: hash, message: refusal.message)
                }
                if !refused.isEmpty { return refused }
            }
        }
        let launch = launch(wanted, state.value, didLaunch: outcome.didLaunch)
        let isQuiet = changes.isEmpty && launch == .none
        // Whoever answers the prober is not asked for its figures, which takes it long.
        let before = launch != .none || isQuiet || EnvoyWord.ofServing(host.paths) != nil ? nil : (try? host.envoy.stats())
        do throws(AgentError) {
            if !changes.isEmpty {
                wanted = try swap(wanted, changes, isLive: launch == .none)
                unforwarded = Set(everything.listeners.map(\.name)).subtracting(wanted.listeners.map(\.name))
                outcome.changes += changes.words
            }
            try perform(launch, wanted, &outcome, &state)
            outcome.unforwarded = unforwarded
            switch try answer(wanted, before: before, patience: launch == .none ? .seconds(3) : .seconds(6)) {
            case .accepted: outcome.isAccepted = true
            case .refused(let listeners): return EnvoyRefusals(listeners: listeners.mapValues { EnvoyRefusal(message: $0) })
            case .silent:
                outcome.problems.append(
                    AgentProblem(
                        kind: .envoyNotRunning,
                        message: "Envoy has not said yet whether it took its files: \(host.services.lastWords(.envoy))"))
            }
        } catch {
            guard error.kind == .envoyRejected || error.kind == .envoyNotRunning, !changes.isEmpty else { throw error }
            // One that starts slowly goes on: each try would begin anew otherwise, and there is nothing to go back to.
            if error.kind == .envoyNotRunning, current[EnvoyLayout.bootstrap] == nil { throw error }
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

    // MARK: swap

    /// Moves the staged files into place: what is referred to before what refers to it, and what is gone last.
    /// - Returns: what is in place: less than wanted where no uplink forwards a new listener in time.
    private func swap(
        _ everything: EnvoyFileSet, _ changes: EnvoyFileChanges, isLive: Bool
    ) throws(AgentError) -> EnvoyFileSet {
        for path in changes.content { try folder.publish(path) }
        if changes.bootstrap { try folder.publish(EnvoyLayout.bootstrap) }
        let both =
            isLive && changes.clusters && changes.listeners ? try EnvoyFileSet.clustersOfBoth(former, configuration) : nil
        if changes.clusters {
            if let both {
                try folder.publish(both.bytes, as: EnvoyLayout.clusters)
            } else {
                try folder.publish(EnvoyLayout.clusters)
            }
            // A listener that moves to a new cluster refuses connections while that one warms up.
            if isLive && changes.listeners {
                let version = both?.version ?? everything.clustersVersion
                wait(milliseconds: 1000) { () throws(AgentError) in try areWarm(version) }
            }
        }
        let wanted = changes.listeners ? everything.leavingOut(forwarding.wait(everything.listeners)) : everything
        if changes.listeners {
            if wanted.listeners.count == everything.listeners.count {
                try folder.publish(EnvoyLayout.listeners)
            } else {
                try folder.publish(wanted.files[EnvoyLayout.listeners] ?? [], as: EnvoyLayout.listeners)
            }
        }
        if both != nil {
            wait(milliseconds: 1000) { () throws(AgentError) in try versions().listeners == wanted.listenersVersion }
            try folder.publish(EnvoyLayout.clusters)
        }
        if isLive && !changes.removed.isEmpty {
            wait(milliseconds: 1000) { () throws(AgentError) in
                let (clusters, listeners) = try versions()
                return listeners == wanted.listenersVersion && clusters == wanted.clustersVersion
            }
        }
        for path in changes.removed { try folder.remove(path) }
        try folder.finish()
        return wanted
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

    // MARK: launch

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
        if !didLaunch, let run = EnvoyRun.read(host.paths), run.serving == nil, !run.isStarting, run.supervisor == unit?.mainPID {
            return .restart(reason: "none was serving")
        }
        if restartAsked && !didLaunch { return .restart(reason: "the EdgeNode asked for one") }
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
            outcome.restart = "\(how.words(drainSeconds: configuration.envoy.drainSeconds)) The cause: \(reason)."
            outcome.changes.append("Envoy restarted (\(how.kind.rawValue)): \(reason)")
        }
        outcome.didLaunch = true
        state.value.envoyStartedWith = fingerprint(wanted)
        try state.save()
    }
}
