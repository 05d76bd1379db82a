import EdgeAPI
import Enrollment
import Fixtures
import Logging
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import Testing

@testable import Reconcilers

/// What follows when the store fails, and when a VPS has seen a later writer.
@Suite struct EdgeNodeFenceTests {
    private let name = ObjectName(namespace: "default", name: "edge")
    private let journal = Journal()
    private let store: MemoryStore
    private let vps: FakeVPS

    init() async throws {
        store = MemoryStore(journal)
        vps = try FakeVPS(journal)
        let node = try edgeNode()
        let binding = try goodPortBinding()
        let ssh = Secret(metadata: ObjectMeta(name: "vps-ssh"), data: ["password": try SecretBytes(copying: [1])])
        await store.change {
            $0.nodes[node.metadata.objectName] = node
            $0.bindings[binding.metadata.objectName] = binding
            $0.secrets[ssh.metadata.objectName] = ssh
        }
    }

    private func reconciler(
        epoch: @escaping @Sendable () -> UInt64 = { 7 },
        prove: (@Sendable () async throws(StoreError) -> Void)? = nil
    ) -> EdgeNodeReconciler {
        EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: NodeOutcomes(),
            writer: .init(installation: "i", writer: "w", epoch: epoch, prove: prove),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func ready() async -> Condition? { await store.nodes[name]?.status?.conditions["Ready"] }

    @Test func tellsInTheStatusWhatTheStoreCouldNotDo() async {
        await store.change { $0.failing = ["publish", "uplinkKeys"] }
        #expect(await reconciler().reconcile(name) == .failed)
        #expect(await ready()?.reason == "StoreFailed")
        #expect(await ready()?.message == "uplinkKeys failed")
        #expect(await store.takeEvents().map(\.reason) == ["StoreFailed"])
    }

    /// Its PortBindings say what holds it up, and no longer once it does not.
    @Test func tellsItsPortBindingsToo() async throws {
        let outcomes = NodeOutcomes()
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        let nodes = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: outcomes,
            writer: WriterFence(installation: "i", writer: "w", epoch: { 7 }),
            logger: quiet)
        let bindings = PortBindingReconciler(store: store, outcomes: outcomes, logger: quiet)
        let binding = ObjectName(namespace: "default", name: "b")
        let taken = StoreError("StatefulSet x is another's", reason: "UplinkNameTaken", followUp: .waiting)
        await store.change { $0.errors["uplinkKeys"] = taken }
        _ = await nodes.reconcile(name)
        _ = await bindings.reconcile(binding)
        #expect(
            await store.bindings[binding]?.status?.conditions["Ready"]?.message.contains(
                "EdgeNode default/edge: StatefulSet x is another's") == true)
        await store.change { $0.errors = [:] }
        _ = await nodes.reconcile(name)
        _ = await bindings.reconcile(binding)
        #expect(
            await store.bindings[binding]?.status?.conditions["Ready"]?.message.contains("another's") == false)
    }

    private func stale(_ epoch: UInt64) {
        vps.state.withLock {
            $0.failure = EnrollmentError(reason: .staleEpoch, message: "epoch", followUp: .stalled, epochSeen: epoch)
        }
    }

    private func other() async throws -> ObjectName {
        var node = try edgeNode()
        node.metadata.name = "other"
        let other = node
        await store.change { $0.nodes[other.metadata.objectName] = other }
        return other.metadata.objectName
    }

    @Test func risesAboveTheNumberOfOneVPSForItAlone() async throws {
        let other = try await other()
        let reconciler = reconciler(prove: { () throws(StoreError) in })
        stale(2_147_483_647)
        #expect(await reconciler.reconcile(name) == .failed)
        vps.state.withLock { $0.failure = nil }
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.epoch } == 2_147_483_648)
        #expect(vps.state.withLock { $0.document?.writer } == "w")
        _ = await reconciler.reconcile(other)
        #expect(vps.state.withLock { $0.document?.epoch } == 7, "what one VPS says is nothing to the others")
        // The next term begins with its own number, also there.
        _ = await self.reconciler(epoch: { 8 }, prove: { () throws(StoreError) in }).reconcile(name)
        #expect(vps.state.withLock { $0.document?.epoch } == 8)
    }

    @Test func theHighestNumberStallsThatVPSAlone() async throws {
        let other = try await other()
        let reconciler = reconciler(prove: { () throws(StoreError) in })
        stale(.max)
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        vps.state.withLock { $0.failure = nil }
        _ = await reconciler.reconcile(other)
        #expect(vps.state.withLock { $0.document?.epoch } == 7)
    }

    @Test func aTermThatIsOverHasNoNumberAnywhere() async throws {
        let epoch = Mutex<UInt64>(7)
        let fence = WriterFence(installation: "i", writer: "w", epoch: { epoch.withLock { $0 } }) { () throws(StoreError) in }
        #expect(try await fence.rise(above: 41, for: name))
        #expect(fence.epoch(for: name) == 42)
        #expect(try await fence.rise(above: 3, for: name))
        #expect(fence.epoch(for: name) == 42)
        epoch.withLock { $0 = 0 }
        #expect(fence.epoch(for: name) == 0)
        epoch.withLock { $0 = 7 }
        fence.forget(name)
        #expect(fence.epoch(for: name) == 7)
    }

    @Test func stallsWhenItIsNotTheOnlyWriter() async {
        stale(11)
        #expect(await reconciler().reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(await ready()?.reason == "StaleEpoch")
        let lost = reconciler(prove: { () throws(StoreError) in
            throw StoreError("the Lease is another's", reason: "LeadershipLost", followUp: .stalled)
        })
        #expect(await lost.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(await ready()?.reason == "LeadershipLost")
    }

    @Test func aSecretThatMayNotBeReadStaysWithItsBinding() async throws {
        await store.change { $0.forbidden = [ObjectName(namespace: "default", name: "web-tls")] }
        let secure = portBinding("t", [try tls("off", 443, mode: .offload(NamespacedReference(name: "web-tls")))])
        await store.change { $0.bindings[secure.metadata.objectName] = secure }
        _ = await reconciler().reconcile(name)
        #expect(journal.take().contains("apply"))
        let synced = await store.nodes[name]?.status?.conditions["ConfigSynced"]
        #expect(synced?.reason == "TLSSecretIncomplete")
        #expect(synced?.message.contains("may not be read") == true)
    }
}
