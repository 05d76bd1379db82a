import Certificates
import EdgeAPI
import FoundationEssentials
import NodeDocument
import Planning
public import PrometheusMetrics
import Reconcilers
import SSH
import Synchronization

/// Fills the metrics from what the controller does.
public final class ControllerMetering: Sendable {
    private let controller: ControllerMetrics
    private let nodes: EdgeNodeMetrics
    /// SSH statistics at the last reconcile.
    private let last = Mutex<[ObjectName: SSHStatistics]>([:])
    /// The VPS tells it, and each other word would be one more series in Prometheus.
    private static let kinds: Set = ["kernel", "userspace"]

    public init(in registry: MetricRegistry) throws(MetricError) {
        controller = try ControllerMetrics(in: registry)
        nodes = try EdgeNodeMetrics(in: registry)
    }

    /// A request to the API server has ended; see `ControllerMetrics`.
    public func requestEnded(code: Int?, method: String, host: String) {
        controller.requestEnded(code: code, method: method, host: host)
    }

    /// - Parameter host: the address of an EdgeNode's VPS; nil where it is unknown.
    func queues(concurrency: Int, host: @escaping @Sendable (ObjectName) -> String?) -> ReconcileQueues {
        ReconcileQueues(
            nodes: queue("edgenode", concurrency, .byHost) { WorkShare(tenant: $0.namespace, host: host($0) ?? "") },
            bindings: queue("portbinding", concurrency, .byTenant) { WorkShare(tenant: $0.namespace) },
            looks: WorkQueue(concurrency: concurrency, share: { WorkShare(tenant: $0.namespace) }),
            remoteServices: queue("remoteservice", concurrency, .byTenant) { WorkShare(tenant: $0.namespace) })
    }

    private func queue(
        _ name: String, _ concurrency: Int, _ shares: FairShares, share: @escaping @Sendable (ObjectName) -> WorkShare
    ) -> WorkQueue<ObjectName> {
        let box = DepthBox()
        let metrics = controller.queue(of: name, workers: concurrency) { box.value }
        let queue = WorkQueue<ObjectName>(
            concurrency: concurrency, shares: shares, share: share,
            observer: WorkQueueObserver(added: { metrics.added() }) { waited in
                let run = metrics.began(waited: waited)
                return { outcome in metrics.ended(run, QueueMetrics.Result(outcome)) }
            })
        box.set { queue.depth }
        return queue
    }

    func leads(_ isLeader: Bool, lease: ObjectName) {
        controller.leads(isLeader, lease: lease.name)
        if !isLeader {
            // Another controller tells of the nodes now.
            nodes.removeAll()
            last.withLock { $0 = [:] }
        }
    }

    /// - Parameters:
    ///   - outcome: nil when the node is gone, or was never planned.
    ///   - statistics: of the node's session.
    func reconciled(
        _ name: ObjectName, _ outcome: NodeOutcome?, succeeded: Bool, statistics: SSHStatistics?,
        reasons: (EdgeNode) -> [BindingStatus.Reason: Int], secret: (ObjectName) -> Secret?
    ) {
        guard let outcome else {
            nodes.remove(namespace: name.namespace, name: name.name)
            last.withLock { $0[name] = nil }
            return
        }
        let before = last.withLock { $0.updateValue(statistics ?? SSHStatistics(), forKey: name) }
        // A new session counts from nothing.
        let base = before.flatMap { $0.execs <= (statistics?.execs ?? 0) ? $0 : nil } ?? SSHStatistics()
        nodes.reconciled(
            namespace: name.namespace, name: name.name, succeeded: succeeded && outcome.failure == nil,
            observation: outcome.report.map { report in
                EdgeNodeObservation(
                    handshakeAges: Dictionary(
                        report.peers.compactMap { peer in peer.handshakeAge.map { (peer.ordinal, $0) } },
                        uniquingKeysWith: { first, _ in first }),
                    bindings: Dictionary(
                        reasons(outcome.node).map { ($0.key.rawValue, $0.value) }, uniquingKeysWith: { first, _ in first }),
                    certificates: outcome.plan.planned.compactMap { binding in
                        guard let end = binding.keySecret.flatMap(secret).flatMap(certificateEnd) else { return nil }
                        return EdgeNodeObservation.Certificate(
                            portBindingNamespace: binding.id.owner.namespace, portBinding: binding.id.owner.name,
                            binding: binding.id.name, notAfter: end.timeIntervalSince1970)
                    },
                    wireGuardKind: report.wireGuardKind.flatMap { Self.kinds.contains($0) ? $0 : nil })
            },
            sshTime: (statistics?.execTime ?? .zero) - base.execTime, sshExecs: (statistics?.execs ?? 0) - base.execs)
    }
}

/// The depth of a queue that is made after its metrics.
private final class DepthBox: Sendable {
    private let read = Mutex<(@Sendable () -> Int)?>(nil)

    init() {}

    func set(_ read: @escaping @Sendable () -> Int) { self.read.withLock { $0 = read } }

    var value: Int { read.withLock { $0 }?() ?? 0 }
}

extension QueueMetrics.Result {
    fileprivate init(_ outcome: ReconcileOutcome) {
        switch outcome {
        case .failed: self = .error
        case .done(requeueAfter: nil): self = .success
        case .done: self = .requeueAfter
        }
    }
}
