public import EdgeAPI
public import NodeDocument
public import Planning
public import Sodium
import Synchronization

/// What the last reconcile of an EdgeNode found; what its PortBindings' status is told from.
public struct NodeOutcome: Sendable {
    public var node: EdgeNode
    public var plan: Plan
    /// Of the relay's part of the plan.
    public var relayHash: SHA256Digest
    /// Of the uplinks' part; nil while the relay's key is unknown.
    public var uplinkHash: SHA256Digest?
    /// What the agent answered; nil when the VPS could not be reached.
    public var report: AgentReport?
    /// Why the VPS is not what the plan says; nil when it is.
    public var failure: NodeFailure?
    /// Bindings whose private key is known to have been copied to the VPS.
    var keysOnEdge: Set<BindingID> = []
    /// How often in a row this same configuration was looked at and did not carry traffic.
    var unsettledLooks = 0

    public init(
        node: EdgeNode, plan: Plan, relayHash: SHA256Digest, uplinkHash: SHA256Digest?, report: AgentReport?,
        failure: NodeFailure?
    ) {
        self.node = node
        self.plan = plan
        self.relayHash = relayHash
        self.uplinkHash = uplinkHash
        self.report = report
        self.failure = failure
    }

    /// Without the configuration itself, which is sent and done with: the keys in it are not kept, nor is its bulk.
    func withoutConfiguration() -> NodeOutcome {
        var result = self
        result.plan.relay.envoy.bootstrap = ""
        result.plan.relay.envoy.listeners = []
        result.plan.relay.envoy.clusters = []
        result.plan.relay.envoy.endpoints = []
        result.plan.relay.envoy.secrets = []
        result.plan.relay.envoy.tlsFiles = []
        return result
    }

    /// Whether the configuration is in force from end to end: every uplink holds it and is ready, no listener is still coming up, and
    /// no uplink is still on its way out.
    var isSettled: Bool {
        guard let report, failure == nil, !report.peers.isEmpty else { return false }
        if plan.relay.wireGuard.peers.contains(where: { $0.ordinal >= node.spec.uplink.replicas }) { return false }
        return report.peers.allSatisfy { $0.uplink?.ready == true && $0.uplink?.hash == uplinkHash }
            && !report.listeners.contains { $0.state == .pending || $0.state == .filtered } && report.starved.isEmpty
    }
}

/// Why a reconcile of an EdgeNode did not reach its end, and what follows from it.
public struct NodeFailure: Error, Hashable, Sendable {
    public enum FollowUp: Hashable, Sendable {
        /// It may pass by itself: try again, with backoff.
        case retry
        /// Something named in the message has to come first; its arrival triggers the next try.
        case waiting
        /// The user has to act.
        case stalled
    }

    /// CamelCase, the reason of the condition.
    public var reason: String
    public var message: String
    public var followUp: FollowUp

    public init(reason: String, message: String, followUp: FollowUp) {
        self.reason = reason
        self.message = message
        self.followUp = followUp
    }
}

/// An outcome with its parts by name, so that the status of each of 10,000 bindings is told without a search.
final class IndexedOutcome: Sendable {
    let outcome: NodeOutcome
    let conflicts: [BindingID: Conflict]
    let planned: [BindingID: PlannedBinding]
    let listeners: [String: ListenerReport]
    /// Uplinks that are ready, whatever document they hold.
    let readyUplinks: Int
    /// Those of them that hold the present document.
    let currentUplinks: Int
    /// What the current uplinks say of each binding's target.
    let targets: [String: [TargetReport]]

    init(_ outcome: NodeOutcome) {
        self.outcome = outcome
        conflicts = Dictionary(outcome.plan.conflicts.map { ($0.binding, $0) }, uniquingKeysWith: { first, _ in first })
        planned = Dictionary(outcome.plan.planned.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        listeners = Dictionary((outcome.report?.listeners ?? []).map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
        let ready = (outcome.report?.peers ?? []).compactMap(\.uplink).filter(\.ready)
        let current = ready.filter { $0.hash == outcome.uplinkHash }
        readyUplinks = ready.count
        currentUplinks = current.count
        targets = Dictionary(grouping: current.flatMap(\.targets), by: \.binding)
    }
}

/// The last outcome of each EdgeNode, shared by the reconcilers.
public final class NodeOutcomes: Sendable {
    private let outcomes = Mutex<[ObjectName: IndexedOutcome]>([:])

    public init() {}

    /// The last outcome of the EdgeNode; nil when there was none.
    public func outcome(of name: ObjectName) -> NodeOutcome? { self[name]?.outcome }

    /// How many bindings there are by the reason of their Ready.
    public func reasons(of portBindings: [PortBinding], node: EdgeNode) -> [BindingStatus.Reason: Int] {
        let facts = self[node.metadata.objectName]
        var counts: [BindingStatus.Reason: Int] = [:]
        for portBinding in portBindings {
            for status in portBindingStatus(portBinding, node: node, outcome: facts, previous: nil, now: "").bindings {
                counts[status.reason, default: 0] += 1
            }
        }
        return counts
    }

    subscript(name: ObjectName) -> IndexedOutcome? { outcomes.withLock { $0[name] } }

    func set(_ outcome: NodeOutcome?, for name: ObjectName) {
        let indexed = outcome.map(IndexedOutcome.init)
        outcomes.withLock { $0[name] = indexed }
    }
}
