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
        raise: (@Sendable (UInt64) async throws(StoreError) -> Void)? = nil
    ) -> EdgeNodeReconciler {
        EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: NodeOutcomes(),
            writer: .init(installation: "i", epoch: epoch, raise: raise),
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

    @Test func liftsItsEpochAboveOneThatTheVPSHasSeen() async {
        let epoch = Mutex<UInt64>(7)
        vps.state.withLock {
            $0.failure = EnrollmentError(reason: .staleEpoch, message: "epoch 11", followUp: .stalled, epochSeen: 11)
        }
        let reconciler = reconciler(
            epoch: { epoch.withLock { $0 } }, raise: { seen throws(StoreError) in epoch.withLock { $0 = seen + 1 } })
        #expect(await reconciler.reconcile(name) == .failed)
        vps.state.withLock { $0.failure = nil }
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.epoch } == 12)
    }

    @Test func stallsWhenItIsNotTheOnlyWriter() async {
        vps.state.withLock {
            $0.failure = EnrollmentError(reason: .staleEpoch, message: "epoch 11", followUp: .stalled, epochSeen: 11)
        }
        #expect(await reconciler().reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(await ready()?.reason == "StaleEpoch")
        let lost = reconciler(raise: { _ throws(StoreError) in
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
