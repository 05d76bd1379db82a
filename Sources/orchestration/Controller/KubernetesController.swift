import Documents
public import EdgeAPI
import Enrollment
import EventRecording
import Informers
public import KubernetesAPI
import LeaseElection
public import Logging
import NetworkTypes
public import NodeDocument
public import Reconcilers
public import ServiceLifecycle
import Synchronization
public import UplinkWorkload

/// `tidegate controller`: follows the EdgeNodes and PortBindings of a cluster, and runs the reconcilers over them while it leads.
///
/// What it promises:
/// - **One writer.** Reconciles run only while this process holds the Lease, every write looks at that first, and what a VPS is
///   sent carries the epoch of the term: a controller that was stopped and wakes up cannot harm.
/// - **No object is reconciled twice at once**, failures back off by object, and all is looked at again every three minutes.
/// - **A server that is away stops nothing**: the VPSes and uplinks go on, and so do watches when it is back.
/// - **Stopping is safe at any point**: what a reconcile leaves undone the next one does.
public final class KubernetesController: ServiceLifecycle.Service {
    public struct Settings: Sendable {
        /// Of EdgeNodes and PortBindings; empty for all.
        public var namespaces: [String]
        /// Where Secrets may be read; empty for everywhere.
        public var secretNamespaces: [String]
        /// EdgeNodes reconciled at the same time; each speaks SSH to its own VPS.
        public var concurrency: Int
        /// The Lease.
        public var lease: ObjectName
        /// False takes the lead at once, from whoever has it.
        public var electsLeader: Bool
        public var uplinks: UplinkPodSettings
        /// Where bindings may lead.
        public var targets = TargetPolicy()
        public var tenants: TenantPolicy
        public var remotes = RemoteSettings()

        public init(
            namespaces: [String], secretNamespaces: [String], concurrency: Int, lease: ObjectName, electsLeader: Bool,
            uplinks: UplinkPodSettings, tenants: TenantPolicy
        ) {
            self.namespaces = namespaces
            self.secretNamespaces = secretNamespaces
            self.concurrency = concurrency
            self.lease = lease
            self.electsLeader = electsLeader
            self.uplinks = uplinks
            self.tenants = tenants
        }
    }

    private let server: APIServer
    private let leaseServer: APIServer
    private let settings: Settings
    private let sessions: NodeSessions
    private let metering: ControllerMetering
    private let logger: Logger
    private let changes: PendingChanges
    private let resources: WatchedResources
    private let events: EventRecorder
    private let election: LeaderElection
    private let outcomes = NodeOutcomes()
    private let queues: ReconcileQueues

    /// - Parameter leaseServer: the same server by connections that only the Lease uses.
    public init(
        _ server: APIServer, leaseServer: APIServer, _ settings: Settings, sessions: NodeSessions, metering: ControllerMetering,
        logger: Logger
    ) {
        self.server = server
        self.leaseServer = leaseServer
        self.settings = settings
        self.sessions = sessions
        self.metering = metering
        self.logger = logger
        let changes = PendingChanges()
        self.changes = changes
        let resources = WatchedResources(
            server, namespaces: settings.namespaces, secretNamespaces: Set(settings.secretNamespaces), logger: logger,
            changes: changes.taking)
        self.resources = resources
        queues = metering.queues(concurrency: settings.concurrency) {
            resources.nodes.observed($0)?.object?.node.spec.address.description
        }
        election = LeaderElection(leaseServer, settings.lease, logger: logger)
        events = EventRecorder(server, instance: election.identity, logger: logger)
    }

    /// Whether EdgeNodes and PortBindings are known; a controller in waiting knows them too.
    public var hasSynced: Bool { resources.nodes.hasSynced && resources.bindings.hasSynced }
    /// Why the API server cannot be followed; nil while it can.
    public var problem: String? { (resources.nodes.problem ?? resources.bindings.problem).map { "\($0)" } }

    public func run() async throws {
        do {
            try await work()
        } catch {
            await sessions.closeAll()
            throw error
        }
        await sessions.closeAll()
        logger.info("stopped; the VPSes and uplinks go on as they are")
    }

    private func work() async throws {
        try await withThrowingTaskGroup { group in
            group.addTask { await self.resources.run() }
            group.addTask { await self.events.run() }
            group.addTask { await self.followChanges() }
            group.addTask { await self.followLosses() }
            group.addTask { try await self.leadWhenElected() }
            // The first to end is the leading: at a graceful shutdown, or for good.
            defer { group.cancelAll() }
            while try await group.next() != nil, !Task.isCancelled, !Task.isShuttingDownGracefully {}
        }
    }

    private func leadWhenElected() async throws {
        guard settings.electsLeader else {
            return try await lead(try await LeaderElection.seize(leaseServer, settings.lease, logger: logger))
        }
        while !Task.isCancelled, !Task.isShuttingDownGracefully {
            do {
                try await election.run { try await self.lead($0) }
            } catch LeadershipError.lost {
                // Not the end of the process: what the watches know stays, and no relist follows when the server is back.
                await sessions.closeAll()
            }
            metering.leads(false, lease: settings.lease)
        }
    }

    private func lead(_ term: Leadership) async throws {
        try await cancelWhenGracefulShutdown {
            self.metering.leads(true, lease: self.settings.lease)
            let installation = try await self.installation()
            try await self.resources.nodes.waitForSync()
            try await self.resources.bindings.waitForSync()
            let owned = self.ownedObjects()
            let uplinks = UplinkWriter(
                self.server, self.settings.uplinks, logger: self.logger, sight: { owned.sight(of: $0, $1) })
            let store = KubernetesStore(
                self.server, resources: self.resources, uplinks: uplinks, pods: { owned.pods(of: $0) },
                secretNamespaces: Set(self.settings.secretNamespaces), tenants: self.settings.tenants, events: self.events,
                mayWrite: { term.epoch != nil })
            // An epoch of 0 is refused everywhere.
            let writer = WriterFence(installation: installation, writer: term.writer, epoch: { term.epoch ?? 0 }) {
                () throws(StoreError) in
                do throws(LeadershipError) {
                    try await term.prove()
                } catch {
                    throw StoreError("\(error)", reason: "LeadershipLost", followUp: .stalled)
                }
            }
            var nodes = EdgeNodeReconciler(
                store: store, sessions: self.sessions, outcomes: self.outcomes, writer: writer, logger: self.logger)
            nodes.targets = self.settings.targets
            let work = ReconcileWork(
                resources: self.resources, store: store, owned: owned, uplinks: uplinks,
                nodes: nodes,
                bindings: PortBindingReconciler(store: store, outcomes: self.outcomes, logger: self.logger),
                remotes: self.remoteWork(mayWrite: { term.epoch != nil }),
                queues: self.queues, outcomes: self.outcomes, sessions: self.sessions, metering: self.metering,
                logger: self.logger)
            await work.run()
        }
    }

    /// Followed by the leader alone, and anew in each term: what is known of them is never from another's time.
    private func ownedObjects() -> OwnedObjects {
        let (looks, resources) = (queues.looks, resources)
        return OwnedObjects(
            server, logger: logger,
            listener: OwnedObjects.Listener(
                // Our own writes are told of too, perhaps before their answer is here.
                object: { looks.add($0, after: .milliseconds(100)) },
                pod: { looks.add($0) },
                pods: { namespace in
                    for one in resources.nodes.all where one.node.spec.uplink.namespace == namespace {
                        looks.add(one.node.metadata.objectName)
                    }
                }))
    }

    private func remoteWork(mayWrite: @escaping @Sendable () -> Bool) -> RemoteWork {
        RemoteWork(
            server, settings.remotes, pods: settings.uplinks, resources: resources,
            queue: queues.remoteServices, events: events, mayWrite: mayWrite, logger: logger)
    }

    /// What tells this cluster from all others: the uid of its kube-system namespace.
    private func installation() async throws -> String {
        var told = false
        while true {
            do throws(APIError) {
                let namespace = try await server.get(.namespaces, ObjectName(namespace: "", name: "kube-system"))
                if let uid = namespace?["metadata"]?["uid"]?.text, !uid.isEmpty { return uid }
                throw .malformed("the namespace kube-system has no uid")
            } catch {
                if !told {
                    logger.error("the namespace kube-system cannot be read", metadata: ["error": "\(error)"])
                    told = true
                }
                try await Task.sleep(for: .seconds(2))
            }
        }
    }

    private func followLosses() async {
        for await name in sessions.losses { queues.nodes.add(name, after: NodeSessions.graceAfterLoss) }
    }

    private func followChanges() async {
        await cancelWhenGracefulShutdown {
            for await _ in self.changes.signals {
                // What is named now is followed before anybody asks for it.
                self.resources.followReferences()
                let (nodes, bindings, remoteServices) = self.changes.take(self.resources)
                self.queues.add(nodes: nodes, bindings: bindings, remoteServices: remoteServices)
            }
        }
    }
}
