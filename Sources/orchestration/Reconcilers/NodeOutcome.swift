public import EdgeAPI
public import Enrollment
import NetworkTypes
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
    /// The relay's key that the uplinks' part is made for; nil while it is unknown.
    var relayPublicKey: WireGuardPublicKey?
    /// When the VPS was asked for `report`, or for `heard`.
    var askedAt = ContinuousClock.now
    /// What the VPS said last, where it did not answer this time; nil otherwise.
    var heard: Heard?
    /// What the cluster says of the uplinks' pods; nil where there are none, or nothing was told yet.
    var pods: UplinkPods?
    /// Which uplink is held up by what, in its own words; nil for nothing, and where none was asked or answered.
    var uplinkComplaint: String?
    var formers = FormerDocuments()
    /// What the uplinks are called, but for `-` and the ordinal.
    var uplinkName: String
    /// Bindings whose private key is known to have been copied to the VPS.
    var keysOnEdge: Set<BindingID> = []
    /// How often in a row this same configuration was looked at and something was waited for.
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
        uplinkName = plainUplinkName(of: node)
    }

    /// Without the keys in the configuration, which is sent and done with, and without its bulk.
    func withoutConfiguration() -> NodeOutcome {
        var result = self
        result.plan.relay.envoy.bindings = []
        return result
    }

    /// What is not in force from end to end; nil when every uplink holds the configuration and is ready, no listener is still coming
    /// up, no uplink is still on its way out, and every target answers.
    var wait: NextLook.Wait? {
        guard let report, failure == nil, !report.peers.isEmpty else { return .uplinks }
        if plan.relay.wireGuard.peers.contains(where: { $0.ordinal >= node.spec.uplink.replicas }) { return .uplinks }
        let areUp = report.peers.allSatisfy {
            $0.uplink?.ready == true && $0.uplink?.hash == uplinkHash && objection(to: $0.ordinal) == nil
                // One that has just linked tells by which way only a moment later.
                && (plan.relay.link == nil || $0.uplink?.carriers?.isEmpty == false)
        }
        guard areUp, !report.listeners.contains(where: { $0.state.isPassing }), report.starved.isEmpty else { return .uplinks }
        return report.peers.contains { $0.uplink?.targets.contains { $0.reachable == false } == true } ? .targets : nil
    }

    var isSettled: Bool { wait == nil }

    /// Whether `next` waits as this one did, for the same configuration. What it is that they wait for, and the relay's key, are the VPS's
    /// words: one that says another thing each time is not looked at the more often for it.
    func isSameWait(as next: NodeOutcome) -> Bool {
        guard wait != nil, next.wait != nil, relayHash == next.relayHash else { return false }
        return uplinkHash == next.uplinkHash || relayPublicKey != next.relayPublicKey
    }

    /// The VPS's word before it fell silent.
    struct Heard: Sendable {
        var report: AgentReport
        /// Bindings that are otherwise planned since then.
        var changed: Set<BindingID>
    }

    /// Takes over what the VPS said before, for the time in which it does not answer.
    mutating func keepWord(of before: NodeOutcome) {
        guard report == nil, failure != nil else { return }
        guard var word = before.heard ?? before.word else { return }
        let known = Dictionary(before.plan.planned.map { ($0.id, $0) }, uniquingKeysWith: { first, _ in first })
        word.changed.formUnion(plan.planned.filter { known[$0.id]?.isSameOnEdge(as: $0) != true }.map(\.id))
        heard = word
        askedAt = before.askedAt
    }

    private var word: Heard? {
        guard failure == nil, let report, report.hash == relayHash else { return nil }
        return Heard(report: report, changed: [])
    }

    /// Whether a pod is ready now: its uplink hears from the VPS through the tunnel, whether or not we do.
    var hasReadyPod: Bool { pods?.pods.values.contains { $0.isReady && !$0.isLeaving } == true }

    /// Why the uplink counts as down, whatever the VPS said of it; nil for nothing.
    func objection(to ordinal: Int) -> UplinkPods.Objection? { pods?.objection(to: ordinal, askedAt: askedAt) }

    /// Whether the VPS said that the uplink is ready, and nothing speaks against it.
    func isReady(_ peer: PeerReport) -> Bool { peer.uplink?.ready == true && objection(to: peer.ordinal) == nil }
}

extension ListenerReport.State {
    /// Whether it may change soon, and nothing tells of it.
    fileprivate var isPassing: Bool {
        switch self {
        case .pending, .filtered, .unforwarded: true
        case .active, .portInUse, .rejected: false
        }
    }
}

/// Why a reconcile of an EdgeNode did not reach its end, and what follows from it.
public struct NodeFailure: Error, Hashable, Sendable {
    /// CamelCase, the reason of the condition.
    public var reason: String
    public var message: String
    public var followUp: FollowUp
    /// When it is tried again; nil where the message need not say so.
    var retryIn: Duration?

    /// With the next try.
    var fullMessage: String { retryIn.map { "\(message); \(NextLook.words(retryIn: $0))" } ?? message }

    public init(reason: String, message: String, followUp: FollowUp) {
        self.reason = reason
        self.message = message
        self.followUp = followUp
    }
}
