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

/// What holds up the end of an EdgeNode, what it says of it, and what `skip-deprovision` makes of it.
@Suite struct EdgeNodeTeardownTests {
    private let name = ObjectName(namespace: "default", name: "edge")
    private let journal = Journal()
    private let store: MemoryStore
    private let vps: FakeVPS
    private let outcomes = NodeOutcomes()
    private let reconciler: EdgeNodeReconciler

    init() async throws {
        store = MemoryStore(journal)
        vps = try FakeVPS(journal)
        reconciler = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: outcomes,
            writer: .init(installation: "i", writer: "w", epoch: { 7 }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let node = try edgeNode()
        let ssh = Secret(metadata: ObjectMeta(name: "vps-ssh"), data: ["password": try SecretBytes(copying: [1])])
        await store.change {
            $0.nodes[node.metadata.objectName] = node
            $0.secrets[ssh.metadata.objectName] = ssh
        }
    }

    /// Enrolled and well, then deleted.
    private func delete(annotations: [String: String] = [:]) async {
        _ = await reconciler.reconcile(name)
        let hash = await store.published[name]?.hash
        vps.state.withLock { $0.uplink = readyUplink(hash: hash) }
        _ = await reconciler.reconcile(name)
        #expect(await ready()?.status == .true)
        let name = name
        await store.change {
            $0.nodes[name]?.metadata.annotations = annotations
            $0.nodes[name]?.metadata.deletionTimestamp = "2026-11-21T11:00:00Z"
        }
        _ = journal.take()
        _ = await store.takeEvents()
    }

    private func ready() async -> Condition? { await store.nodes[name]?.status?.conditions["Ready"] }

    private static let skip = [APIName.skipDeprovisionAnnotation: "true"]
    private static let hint = "annotate the EdgeNode with tunnel.achetronic.com/skip-deprovision=true"

    @Test func tearsDown() async {
        await delete()
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        // The VPS first: while it could not be reached, the EdgeNode has to stay.
        #expect(journal.take() == ["teardown edge", "withdrawUplinks", "releaseNode", "close password"])
        #expect(outcomes[name] == nil)
        #expect(await store.takeEvents() == [])
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(journal.take() == [])
    }

    @Test func isNotReadyWhileItGoes() async {
        await delete()
        let (store, name, journal) = (store, name, journal)
        vps.state.withLock {
            $0.whileTearingDown = {
                let condition = await store.nodes[name]?.status?.conditions["Ready"]
                journal.add("Ready \(condition?.status.rawValue ?? "") \(condition?.reason ?? "")")
            }
        }
        _ = await reconciler.reconcile(name)
        #expect(journal.take().first == "Ready False Deleting")
    }

    @Test func staysUntilTheVPSIsTornDown() async {
        await delete()
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: .retry) }
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(journal.take() == ["teardown edge"])
        #expect(await ready()?.reason == "Unreachable")
        let words = "deletion: no route; \(Self.hint) to let it go and leave the VPS as it is"
        #expect(await ready()?.message == words)
        #expect(await store.takeEvents().map { "\($0.reason): \($0.message)" } == ["TeardownFailed: \(words)"])
        // The same obstacle is the same words, whatever the try.
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(await ready()?.message == words)
    }

    @Test func goesWhereTheVPSIsAnothers() async {
        await delete()
        vps.state.withLock { $0.failure = EnrollmentError(reason: .foreignOwner, message: "edge's", followUp: .stalled) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(journal.take() == ["teardown edge", "withdrawUplinks", "releaseNode", "close password"])
        #expect(
            await store.takeEvents().map { "\($0.reason): \($0.message)" } == [
                "TeardownSkipped: the VPS was left as it is: edge's"
            ])
    }

    /// `kubectl delete -f` takes EdgeNode and Secret at once.
    @Test func goesByTheConnectionThatIsKeptWhereTheSecretIsGone() async {
        await delete()
        await store.change { $0.secrets = [:] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(journal.take() == ["teardown edge", "withdrawUplinks", "releaseNode", "close password"])
    }

    @Test func waitsForTheSecretWhereNoConnectionIsKept() async {
        await delete()
        await store.change { $0.secrets = [:] }
        let successor = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: NodeOutcomes(),
            writer: .init(installation: "i", writer: "w", epoch: { 8 }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        #expect(await successor.reconcile(name) == .failed)
        #expect(await ready()?.reason == "SSHSecretMissing")
        #expect(await ready()?.message.contains(Self.hint) == true)
    }

    // MARK: obstacles in the store

    struct Obstacle: Sendable, CustomTestStringConvertible {
        /// The store's call that fails.
        var call: String
        var error: StoreError
        var wayOut: String
        /// Whether the EdgeNode goes all the same when it is told to skip.
        var isSkipped = true

        var testDescription: String { "\(call), \(error.reason)" }
    }

    static let obstacles = [
        Obstacle(
            call: "withdrawUplinks",
            error: StoreError("the Role is gone", reason: "Forbidden", followUp: .waiting),
            wayOut: "\(hint) to let it go and leave what there is of its uplinks"),
        Obstacle(
            call: "withdrawUplinks", error: StoreError("no answer", reason: "APIServerFailed"),
            wayOut: "\(hint) to let it go and leave what there is of its uplinks"),
        Obstacle(
            call: "releaseNode", error: StoreError("may not patch", reason: "Forbidden", followUp: .waiting),
            wayOut: "remove its finalizer tunnel.achetronic.com/finalizer", isSkipped: false),
    ]

    @Test(arguments: obstacles) func tellsWhatHoldsItUp(_ obstacle: Obstacle) async {
        await delete()
        await store.change { $0.errors[obstacle.call] = obstacle.error }
        // Soon again, and less often with each time.
        #expect(await reconciler.reconcile(name) == .failed)
        let condition = await ready()
        #expect(condition?.status == .false)
        #expect(condition?.reason == obstacle.error.reason)
        #expect(condition?.message.hasPrefix("deletion: \(obstacle.error.message); ") == true)
        #expect(condition?.message.contains(obstacle.wayOut) == true, "\(condition?.message ?? "")")
        let events = await store.takeEvents()
        #expect(events.map(\.reason) == ["TeardownFailed"])
        #expect(events.first?.message == condition?.message)
        // By itself, once it is out of the way.
        await store.change { $0.errors = [:] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(await store.nodes[name] == nil)
    }

    @Test(arguments: obstacles) func skippingEndsIt(_ obstacle: Obstacle) async {
        await delete(annotations: Self.skip)
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: .retry) }
        await store.change {
            $0.errors[obstacle.call] = obstacle.error
            $0.secrets = [:]
        }
        var outcome = await reconciler.reconcile(name)
        // What may pass by itself is given one more try: uplinks that are left behind go on running.
        if obstacle.error.followUp == .retry {
            #expect(outcome == .failed)
            _ = await store.takeEvents()
            outcome = await reconciler.reconcile(name)
        }
        #expect(!journal.take().contains("teardown edge"))
        #expect(await (store.nodes[name] == nil) == obstacle.isSkipped)
        #expect(outcome == (obstacle.isSkipped ? .done(requeueAfter: nil) : .failed))
        guard obstacle.isSkipped else { return }
        let left = await store.takeEvents()
        #expect(left.map(\.reason) == ["LeftBehind"])
        #expect(left.first?.message.contains(obstacle.error.message) == true)
        #expect(left.first?.message.contains("edge-uplink") == true, "names what to look for: \(left)")
    }

    @Test func skippingNeedsNobody() async {
        await delete(annotations: Self.skip)
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: .retry) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(journal.take() == ["withdrawUplinks", "releaseNode", "close password"])
        #expect(await store.takeEvents() == [])
    }

    /// Neither a status that cannot be written, nor one that fails each time, holds it up.
    @Test(arguments: [[:], skip]) func aStatusThatCannotBeWrittenHoldsUpNothing(_ annotations: [String: String]) async {
        await delete(annotations: annotations)
        await store.change { $0.failing = ["setStatus"] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(await store.nodes[name] == nil)
    }

    @Test func skippingEndsWhereNothingCanBeWrittenButTheFinalizer() async {
        await delete(annotations: Self.skip)
        await store.change { $0.failing = ["setStatus", "withdrawUplinks"] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(await store.nodes[name] == nil)
        #expect(await store.takeEvents().map(\.reason) == ["LeftBehind"])
    }

    @Test func whoNoLongerLeadsTellsNothingAndLeavesIt() async {
        await delete(annotations: Self.skip)
        let lost = StoreError("another leads", reason: "LeadershipLost", followUp: .stalled)
        await store.change { $0.errors = ["setStatus": lost, "withdrawUplinks": lost, "releaseNode": lost] }
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(await store.nodes[name] != nil)
        #expect(await store.takeEvents() == [])
    }
}
