public import EdgeAPI
import NodeDocument
import Planning
import Sodium
import Synchronization

/// An outcome with its parts by name, so that the status of each of 10,000 bindings is told without a search.
final class IndexedOutcome: Sendable {
    /// What an uplink holds, and what it says of its targets.
    struct Uplink: Sendable {
        var hash: SHA256Digest?
        var targets: [String: TargetReport]

        init(_ report: UplinkReport) {
            hash = report.hash
            targets = Dictionary(report.targets.map { ($0.binding, $0) }, uniquingKeysWith: { first, _ in first })
        }
    }

    let outcome: NodeOutcome
    let exclusions: [BindingID: Exclusion]
    let planned: [BindingID: PlannedBinding]
    let listeners: [String: ListenerReport]
    /// Those that answered the VPS, by ordinal.
    private let uplinks: [Int: Uplink]
    /// Uplinks that are ready, whatever document they hold.
    let readyUplinks: [Uplink]

    init(_ outcome: NodeOutcome) {
        self.outcome = outcome
        exclusions = Dictionary(outcome.plan.exclusions.map { ($0.binding, $0) }, uniquingKeysWith: { first, _ in first })
        planned = Dictionary(outcome.plan.planned.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        let report = outcome.report ?? outcome.heard?.report
        listeners = Dictionary((report?.listeners ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        uplinks = Dictionary(
            (report?.peers ?? []).compactMap { peer in peer.uplink.map { (peer.ordinal, Uplink($0)) } },
            uniquingKeysWith: { first, _ in first })
        readyUplinks = Self.ready(uplinks, outcome)
    }

    /// The same with another word of the pods; nothing is indexed anew.
    init(_ other: IndexedOutcome, pods: UplinkPods?) {
        var outcome = other.outcome
        outcome.pods = pods
        self.outcome = outcome
        exclusions = other.exclusions
        planned = other.planned
        listeners = other.listeners
        uplinks = other.uplinks
        readyUplinks = Self.ready(uplinks, outcome)
    }

    private static func ready(_ uplinks: [Int: Uplink], _ outcome: NodeOutcome) -> [Uplink] {
        ((outcome.report ?? outcome.heard?.report)?.peers ?? []).compactMap { outcome.isReady($0) ? uplinks[$0.ordinal] : nil }
    }

    /// The ready uplinks that carry the binding as it is wanted now: those that hold the present document, and those that hold a
    /// former one in which the binding is the same.
    func uplinks(carrying binding: BindingID) -> [Uplink] {
        readyUplinks.filter { $0.hash == outcome.uplinkHash || outcome.formers.carry(binding, $0.hash) }
    }
}

/// The last outcome of each EdgeNode, shared by the reconcilers, and what the cluster says of its pods.
public final class NodeOutcomes: Sendable {
    private struct State {
        var outcomes: [ObjectName: IndexedOutcome] = [:]
        var pods: [ObjectName: UplinkPods] = [:]
        /// Tries in a row that waited for something named, and its reason.
        var waits: [ObjectName: (reason: String, tries: Int)] = [:]
        /// What the store could not do in the last reconcile.
        var storeFailures: [ObjectName: NodeFailure] = [:]
    }

    private let state = Mutex(State())

    public init() {}

    /// The last outcome of the EdgeNode; nil when there was none.
    public func outcome(of name: ObjectName) -> NodeOutcome? { self[name]?.outcome }

    /// How many bindings there are by the reason of their Ready.
    public func reasons(of portBindings: [PortBinding], node: EdgeNode) -> [BindingStatus.Reason: Int] {
        let facts = self[node.metadata.objectName]
        let failure = storeFailure(of: node.metadata.objectName)
        var counts: [BindingStatus.Reason: Int] = [:]
        for portBinding in portBindings {
            for status in portBindingStatus(
                portBinding, node: node, outcome: facts, failure: failure, previous: nil, now: ""
            ).bindings {
                counts[status.reason, default: 0] += 1
            }
        }
        return counts
    }

    /// Takes what the cluster says of the EdgeNode's pods, by ordinal; nil when it says nothing any more.
    /// - Returns: whether that is another state than before.
    public func setPods(_ pods: [Int: UplinkPods.Pod]?, of name: ObjectName) -> Bool {
        let now = ContinuousClock.now
        return state.withLock { state in
            var taken = pods.map { UplinkPods($0) }
            if let pods, var known = state.pods[name] {
                known.take(pods, at: now)
                taken = known
            }
            guard taken != state.pods[name] else { return false }
            state.pods[name] = taken
            guard let indexed = state.outcomes[name] else { return false }
            state.outcomes[name] = IndexedOutcome(indexed, pods: taken)
            return true
        }
    }

    subscript(name: ObjectName) -> IndexedOutcome? { state.withLock { $0.outcomes[name] } }

    /// Nil forgets the EdgeNode.
    func set(_ outcome: NodeOutcome?, for name: ObjectName) {
        guard let outcome else {
            return state.withLock { state in
                state.outcomes[name] = nil
                state.pods[name] = nil
                state.waits[name] = nil
                state.storeFailures[name] = nil
            }
        }
        let indexed = IndexedOutcome(outcome)
        state.withLock { state in
            state.outcomes[name] = IndexedOutcome(indexed, pods: state.pods[name])
            state.storeFailures[name] = nil
        }
    }

    /// Says what the store could not do; the outcome before stays.
    public func setStoreFailure(_ failure: NodeFailure, of name: ObjectName) {
        state.withLock { $0.storeFailures[name] = failure }
    }

    /// What the store could not do in the last reconcile; nil when it reached its end.
    func storeFailure(of name: ObjectName) -> NodeFailure? { state.withLock { $0.storeFailures[name] } }

    /// - Returns: how often in a row it was waited for the same reason before. Nil ends the row.
    func waits(for reason: String?, of name: ObjectName) -> Int {
        state.withLock { state in
            guard let reason else {
                state.waits[name] = nil
                return 0
            }
            let tries = state.waits[name].map { $0.reason == reason ? $0.tries + 1 : 0 } ?? 0
            state.waits[name] = (reason, tries)
            return tries
        }
    }
}
