import Documents
import EdgeAPI
import Enrollment
import Informers
import KubernetesAPI
import LeaseElection
import Logging
import Reconcilers
import Synchronization
import UplinkWorkload

/// What is to be looked at: EdgeNodes and PortBindings. Lives on from term to term.
struct ReconcileQueues: Sendable {
    let nodes: WorkQueue<ObjectName>
    let bindings: WorkQueue<ObjectName>
    /// EdgeNodes whose pods or owned objects the watches tell of.
    let looks: WorkQueue<ObjectName>
    let remoteServices: WorkQueue<ObjectName>

    func add(nodes: Set<ObjectName>, bindings: Set<ObjectName>, remoteServices: Set<ObjectName>) {
        for name in nodes { self.nodes.add(name) }
        for name in bindings { self.bindings.add(name) }
        for name in remoteServices { self.remoteServices.add(name) }
    }
}

/// The work of one term of leading.
final class ReconcileWork: Sendable {
    private let resources: WatchedResources
    private let store: KubernetesStore
    private let owned: OwnedObjects
    private let uplinks: UplinkWriter
    private let paces = Mutex<[ObjectName: Pace]>([:])
    private let nodes: EdgeNodeReconciler
    private let bindings: PortBindingReconciler
    private let remotes: RemoteWork
    private let queues: ReconcileQueues
    private let outcomes: NodeOutcomes
    private let sessions: NodeSessions
    private let metering: ControllerMetering
    private let logger: Logger

    init(
        resources: WatchedResources, store: KubernetesStore, owned: OwnedObjects, uplinks: UplinkWriter,
        nodes: EdgeNodeReconciler, bindings: PortBindingReconciler, remotes: RemoteWork,
        queues: ReconcileQueues, outcomes: NodeOutcomes, sessions: NodeSessions, metering: ControllerMetering, logger: Logger
    ) {
        self.resources = resources
        self.store = store
        self.owned = owned
        self.uplinks = uplinks
        self.nodes = nodes
        self.bindings = bindings
        self.remotes = remotes
        self.queues = queues
        self.outcomes = outcomes
        self.sessions = sessions
        self.metering = metering
        self.logger = logger
    }

    /// Looks at all there is, then at what is added, until the task is cancelled.
    func run() async {
        queues.add(
            nodes: Set(resources.nodes.allObserved.map(\.name)), bindings: Set(resources.bindings.allObserved.map(\.name)),
            remoteServices: Set(resources.remoteServices.allObserved.map(\.name)))
        followUplinks()
        await withDiscardingTaskGroup { group in
            group.addTask { await self.owned.run() }
            group.addTask { await self.remotes.run(self.queues.remoteServices) }
            group.addTask { await self.queues.looks.run { await self.look(at: $0) } }
            group.addTask { await self.queues.nodes.run { await self.reconcile(node: $0) } }
            group.addTask { await self.queues.bindings.run { await self.reconcile(binding: $0) } }
        }
    }

    private func reconcile(node name: ObjectName) async -> ReconcileOutcome {
        if case .invalid(let metadata, let problems)? = resources.nodes.observed(name)?.content {
            let failure = NodeFailure(
                reason: "InvalidSpec", message: "makes no sense, see its condition Ready", followUp: .stalled)
            outcomes.setStoreFailure(failure, of: name)
            for binding in resources.bindings(of: name) { queues.bindings.add(binding.metadata.objectName) }
            return await tell(problems, of: metadata, .edgeNodes)
        }
        followUplinks()
        let outcome = await nodes.reconcile(name)
        let portBindings = resources.bindings(of: name)
        let statistics = await sessions.statistics(of: name)
        metering.reconciled(
            name, outcomes.outcome(of: name), succeeded: outcome != .failed, statistics: statistics,
            reasons: { outcomes.reasons(of: portBindings, node: $0) },
            secret: { if case .known(let observed) = resources.secrets.get($0) { observed.object } else { nil } })
        for binding in portBindings { queues.bindings.add(binding.metadata.objectName) }
        return outcome
    }

    private func reconcile(binding name: ObjectName) async -> ReconcileOutcome {
        if case .invalid(let metadata, let problems)? = resources.bindings.observed(name)?.content {
            return await tell(problems, of: metadata, .portBindings)
        }
        return await bindings.reconcile(name)
    }

    // MARK: what the watches tell of the uplinks

    private func followUplinks() { owned.follow(OwnedObjects.namespaces(of: resources.nodes.all.lazy.map(\.node))) }

    /// Tells at once what the pods' state means, without a word from the VPS, which may be cut off; and has put back what others
    /// changed.
    private func look(at name: ObjectName) async -> ReconcileOutcome {
        guard let node = store.edgeNode(name), node.metadata.deletionTimestamp == nil else {
            _ = outcomes.setPods(nil, of: name)
            paces.withLock { $0[name] = nil }
            return .done(requeueAfter: nil)
        }
        if outcomes.setPods(owned.pods(of: uplinks.knownNames(of: node)), of: name) {
            do throws(StoreError) {
                try await nodes.tellStatus(of: name)
            } catch {
                logger.warning(
                    "the pods' state could not be told; the next reconcile does",
                    metadata: ["edgeNode": "\(name)", "error": "\(error)"])
            }
            for binding in resources.bindings(of: name) { queues.bindings.add(binding.metadata.objectName) }
            queues.nodes.add(name)
        }
        switch uplinks.standing(of: node) {
        case .right: return .done(requeueAfter: nil)
        case .unsure: return .done(requeueAfter: KnownObject.patience)
        case .deviating:
            let now = ContinuousClock.now
            let wait = paces.withLock { paces in
                paces = paces.filter { !$0.value.isIdle(now: now) }
                return paces[name, default: .ofRepairs(now)].wait(now: now)
            }
            if wait == nil { queues.nodes.add(name) }
            return .done(requeueAfter: wait)
        }
    }

    /// An object that the schema let through, or that is older than it: left as it is, and said so.
    private func tell(_ problems: [FieldProblem], of metadata: ObjectMeta, _ resource: APIResource) async -> ReconcileOutcome {
        let reasons = problems.map { "\($0.path): \($0.message)" }.joined(separator: "; ")
        let leaving =
            metadata.deletionTimestamp == nil
            ? "" : "; to let it go with its VPS as it is, remove its finalizer \(APIName.finalizer)"
        let message = "\(reasons); correct it, until then nothing is changed for it\(leaving)"
        logger.error(
            "an object makes no sense",
            metadata: ["kind": "\(resource.kind)", "name": "\(metadata.objectName)", "error": "\(reasons)"])
        do throws(StoreError) {
            try await store.setInvalid(
                resource, metadata.objectName,
                Condition(
                    type: "Ready", status: .false, reason: "InvalidSpec", message: message,
                    observedGeneration: metadata.generation))
            return .done(requeueAfter: nil)
        } catch {
            return .failed
        }
    }
}

extension Pace {
    /// Repairs of one EdgeNode's objects: others may undo them as fast, and that must not keep the controller or a VPS busy.
    static func ofRepairs(_ now: ContinuousClock.Instant) -> Pace { Pace(burst: 5, interval: .seconds(10), now: now) }
}
