import Glibc
import NetworkTypes
import NodeDocument

/// What Envoy says of the files that it got: its answers to the prober where these are known, else its admin interface.
extension EnvoyRollout {
    enum Answer {
        case accepted
        case refused([String: String])
        case silent
    }

    /// - Returns: nil when it has not said a word of them yet.
    private func told(
        _ wanted: EnvoyFileSet, _ clusters: EnvoyWord.Answer, _ listeners: EnvoyWord.Answer
    ) throws(AgentError) -> Answer? {
        if clusters.version == wanted.clustersVersion, let refusal = clusters.refusal {
            throw AgentError(.envoyRejected, "Envoy refuses the clusters: \(printable(lastingWords(of: refusal), limit: 600))")
        }
        guard listeners.version == wanted.listenersVersion else { return nil }
        guard listeners.refusal == nil else {
            let names = Set(wanted.listeners.map(\.name))
            let refused = try host.envoy.refusedListeners().filter { names.contains($0.key) }
            return refused.isEmpty ? nil : .refused(refused)
        }
        return clusters.version == wanted.clustersVersion ? .accepted : nil
    }

    func answer(_ wanted: EnvoyFileSet, before: EnvoyStats?, patience usual: Duration) throws(AgentError) -> Answer {
        var patience = EnvoyPatience(usual: usual, from: .now)
        var complaint = ""
        // All figures are asked for when the versions do not come: they alone tell a refusal.
        var nextLook = ContinuousClock.now + .milliseconds(50)
        var interval = Duration.milliseconds(50)
        while !patience.isOver(at: .now) {
            let start = ContinuousClock.now
            do throws(AgentError) {
                if let word = EnvoyWord.ofServing(host.paths), let clusters = word.clusters, let listeners = word.listeners {
                    patience.answered(at: .now)
                    complaint = ""
                    if let answer = try told(wanted, clusters, listeners) { return answer }
                    Self.pause(after: start)
                    continue
                }
                let versions = try host.envoy.versions()
                patience.answered(at: .now)
                complaint = ""
                if versions.listenersVersion == wanted.listenersVersion && versions.clustersVersion == wanted.clustersVersion {
                    return .accepted
                }
                if start >= nextLook {
                    let stats = try host.envoy.stats()
                    if stats.clustersRejected > before?.clustersRejected ?? 0 && stats.clustersVersion != wanted.clustersVersion {
                        throw AgentError(.envoyRejected, "Envoy refuses the clusters: \(host.services.lastWords(.envoy))")
                    }
                    if stats.listenersRejected > before?.listenersRejected ?? 0
                        && stats.listenersVersion != wanted.listenersVersion
                    {
                        let names = Set(wanted.listeners.map(\.name))
                        let refused = try host.envoy.refusedListeners().filter { names.contains($0.key) }
                        if !refused.isEmpty { return .refused(refused) }
                    }
                    interval *= 2
                    nextLook = .now + interval
                }
            } catch {
                if error.kind == .envoyRejected { throw error }
                complaint = error.message
                patience.silent(newest: EnvoyRun.read(host.paths)?.processes.last?.pid)
            }
            Self.pause(after: start)
        }
        if complaint.isEmpty { return .silent }
        throw AgentError(
            .envoyNotRunning, "Envoy does not run or does not answer (\(complaint)): \(host.services.lastWords(.envoy))")
    }

    /// What Envoy took last: by its answers to the prober, or, where they are not known, by its own word.
    func versions() throws(AgentError) -> (clusters: String?, listeners: String?) {
        if let word = EnvoyWord.ofServing(host.paths) {
            func taken(_ answer: EnvoyWord.Answer?) -> String? { answer.flatMap { $0.refusal == nil ? $0.version : nil } }
            return (taken(word.clusters), taken(word.listeners))
        }
        let stats = try host.envoy.versions()
        return (stats.clustersVersion, stats.listenersVersion)
    }

    /// Whether the clusters of that version can be used, or never will.
    func areWarm(_ version: String) throws(AgentError) -> Bool {
        guard let word = EnvoyWord.ofServing(host.paths) else { return try host.envoy.warmingClusters() == 0 }
        return word.clusters?.version == version && (word.isWarm || word.clusters?.refusal != nil)
    }

    /// Looks at Envoy until `isDone`, or the time is over; neither is an error here.
    func wait(milliseconds: Int, _ isDone: () throws(AgentError) -> Bool) {
        let deadline = Deadline(milliseconds: milliseconds)
        while deadline.remaining != nil {
            let start = ContinuousClock.now
            guard let done = try? isDone() else { return }
            if done { return }
            Self.pause(after: start)
        }
    }

    /// As long as the question took, 5 ms at least: Envoy's main thread, which answers, has the change itself to do.
    private static func pause(after start: ContinuousClock.Instant) {
        let taken = start.duration(to: .now).components
        usleep(UInt32(clamping: max(5000, taken.seconds * 1_000_000 + taken.attoseconds / 1_000_000_000_000)))
    }
}
