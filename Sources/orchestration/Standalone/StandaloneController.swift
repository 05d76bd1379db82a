import Documents
import EdgeAPI
import FileWatching
public import Logging
import ManifestStore
import NetworkTypes
public import Reconcilers
public import ServiceLifecycle

/// `tidegate standalone`: follows a folder of manifests and runs the reconcilers over it until it is told to stop. What it has
/// set up stays as it is.
public struct StandaloneController: ServiceLifecycle.Service {
    /// Reconciles at the same time; each speaks SSH to its own VPS.
    static let concurrency = 5
    /// How often the local uplink is looked after.
    static let uplinkCheck: Duration = .seconds(3)
    /// How soon an uplink that joined is known.
    static let joinCheck: Duration = .milliseconds(500)

    private let path: String
    private let store: StandaloneStore
    private let nodes: EdgeNodeReconciler
    private let bindings: PortBindingReconciler
    private let sessions: NodeSessions
    private let uplinks: LocalUplinks?
    private let logger: Logger
    private let queue: WorkQueue<ObjectName>
    /// PortBindings whose status is to be told. One that cannot be written is tried again, less and less often.
    private let statuses = WorkQueue<ObjectName>(concurrency: 1)

    public init(
        manifests path: String, store: StandaloneStore, nodes: EdgeNodeReconciler, bindings: PortBindingReconciler,
        sessions: NodeSessions,
        uplinks: LocalUplinks?, logger: Logger
    ) {
        self.path = path
        self.store = store
        self.nodes = nodes
        self.bindings = bindings
        self.sessions = sessions
        self.uplinks = uplinks
        self.logger = logger
        queue = WorkQueue(concurrency: Self.concurrency, shares: .byHost) { name in
            WorkShare(tenant: name.namespace, host: store.edgeNode(name)?.spec.address.description ?? "")
        }
    }

    public func run() async throws {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                group.addTask { await follow() }
                group.addTask { await followLosses() }
                group.addTask { await lookAfterUplinks() }
                group.addTask { await followJoins() }
                group.addTask { await queue.run { await reconcile($0) } }
                group.addTask { await statuses.run { await bindings.reconcile($0) } }
            }
        }
        await sessions.closeAll()
        logger.info("stopped; the VPSes and uplinks go on as they are")
    }

    private func reconcile(_ name: ObjectName) async -> ReconcileOutcome {
        guard !store.mustWait(name) else {
            logger.warning(
                "some manifests cannot be read since the start, so the VPS is left as it is; correct them",
                metadata: ["edgeNode": "\(name)"])
            return .done(requeueAfter: EdgeNodeReconciler.resync)
        }
        let outcome = await nodes.reconcile(name)
        for portBinding in store.portBindings(of: name) { statuses.add(portBinding.metadata.objectName) }
        return outcome
    }

    private func follow() async {
        var folder = ManifestFolder(path: path)
        var told: Set<ManifestProblem> = []
        let changes = FileWatch(paths: [path])
        var iterator = changes.makeAsyncIterator()
        while !Task.isCancelled {
            let snapshot = folder.load()
            for problem in snapshot.problems where !told.contains(problem) {
                logger.log(level: problem.severity == .error ? .error : .warning, "\(problem)")
            }
            told = Set(snapshot.problems)
            await take(snapshot)
            if let settlesIn = snapshot.settlesIn {
                try? await Task.sleep(for: settlesIn)
                continue
            }
            do {
                guard try await iterator.next() != nil else { return }
            } catch {
                logger.error("changes cannot be watched; looking every second", metadata: ["error": "\(error)"])
                try? await Task.sleep(for: .seconds(1))
                iterator = changes.makeAsyncIterator()
            }
        }
    }

    private func take(_ snapshot: Snapshot) async {
        let (changed, orphans) = store.take(snapshot)
        for name in changed { queue.add(name) }
        for name in orphans { statuses.add(name) }
        do {
            try await store.sweepStatuses()
        } catch {
            logger.error("old status files cannot be removed", metadata: ["error": "\(error)"])
        }
    }

    private func followLosses() async {
        for await name in sessions.losses { queue.add(name, after: NodeSessions.graceAfterLoss) }
    }

    private func followJoins() async {
        var known = store.joinStamps
        while (try? await Task.sleep(for: Self.joinCheck)) != nil {
            let now = store.joinStamps
            for (name, stamp) in now where known[name] != stamp { queue.add(name) }
            known = now
        }
    }

    private func lookAfterUplinks() async {
        guard let uplinks else { return }
        while (try? await Task.sleep(for: Self.uplinkCheck)) != nil {
            do {
                try await uplinks.keepAlive()
            } catch {
                logger.error("\(error)")
            }
        }
    }
}
