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

/// What is told at once when the pods change, and how soon is tried again.
@Suite struct EdgeNodeTellingTests {
    private let name = ObjectName(namespace: "default", name: "edge")
    private let binding = ObjectName(namespace: "default", name: "b")
    private let journal = Journal()
    private let store: MemoryStore
    private let vps: FakeVPS
    private let outcomes = NodeOutcomes()
    private let reconciler: EdgeNodeReconciler
    private let bindings: PortBindingReconciler

    init() async throws {
        store = MemoryStore(journal)
        vps = try FakeVPS(journal)
        let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        reconciler = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: outcomes,
            writer: .init(installation: "i", writer: "w", epoch: { 7 }),
            logger: quiet)
        bindings = PortBindingReconciler(store: store, outcomes: outcomes, logger: quiet)
        let node = try edgeNode()
        let binding = try goodPortBinding()
        let ssh = Secret(metadata: ObjectMeta(name: "vps-ssh"), data: ["password": try SecretBytes(copying: [1])])
        await store.change {
            $0.nodes[node.metadata.objectName] = node
            $0.bindings[binding.metadata.objectName] = binding
            $0.secrets[ssh.metadata.objectName] = ssh
        }
    }

    private func settle() async {
        _ = await reconciler.reconcile(name)
        let hash = await store.published[name]?.hash
        vps.state.withLock { $0.uplink = readyUplink(hash: hash) }
        _ = await reconciler.reconcile(name)
        _ = journal.take()
        _ = await store.takeEvents()
    }

    private func pod(ready: Bool = true, leaving: Bool = false) -> [Int: UplinkPods.Pod] {
        [0: UplinkPods.Pod(uid: "a", isReady: ready, isLeaving: leaving, trouble: nil)]
    }

    private func ready() async -> String {
        let condition = await store.nodes[name]?.status?.conditions["Ready"]
        let uplinks = await store.nodes[name]?.status?.readyUplinks
        return "\(condition?.status.rawValue ?? "") \(condition?.reason ?? "") \(uplinks ?? "")"
    }

    private func bindingReason() async -> String? {
        _ = await bindings.reconcile(binding)
        return await store.bindings[binding]?.status?.conditions["Ready"]?.reason
    }

    @Test func readyFallsWithThePodsAndWithoutTheVPS() async throws {
        await settle()
        #expect(outcomes.setPods(pod(), of: name))
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "True Ready 1/1")
        #expect(await bindingReason() == "Applied")
        #expect(!outcomes.setPods(pod(), of: name), "nothing new, nothing told")

        #expect(outcomes.setPods(pod(ready: false), of: name))
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "False UplinkPodsNotReady 0/1")
        #expect(await bindingReason() == "UplinksDown")
        #expect(await store.takeEvents().map(\.reason) == ["UplinkPodsNotReady"])
        #expect(outcomes.outcome(of: name)?.wait == .uplinks, "the VPS is asked soon")

        #expect(outcomes.setPods(pod(), of: name))
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "True Ready 1/1")
        #expect(await bindingReason() == "Applied")

        #expect(outcomes.setPods([:], of: name))
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "False UplinkPodsMissing 0/1")
        #expect(await bindingReason() == "UplinksDown")
        let message = await store.bindings[binding]?.status?.bindings.first?.message
        #expect(message == "no uplink is ready (0: its pod is not there); see the uplinks' logs")
        #expect(!journal.take().contains("apply"), "no word from the VPS was needed")
        // A reconcile that the VPS answers from before does not undo it.
        _ = await reconciler.reconcile(name)
        #expect(await ready() == "False UplinkPodsMissing 0/1")
    }

    @Test func podsCountWhileTheVPSDoesNotAnswer() async throws {
        await settle()
        _ = outcomes.setPods(pod(), of: name)
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: .retry) }
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(await ready() == "False Unreachable 1/1")
        // That we cannot reach it stops no traffic: the pods hear from it.
        #expect(await bindingReason() == "Applied")
        let changed = portBinding("b", [try tcp("web", 8081), try udp("dns", 53)])
        await store.change { $0.bindings[changed.metadata.objectName]?.spec = changed.spec }
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(await bindingReason() == "NotYetApplied")
        #expect(await store.bindings[binding]?.status?.bindings.map(\.ready) == [false, true])
        _ = outcomes.setPods([:], of: name)
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "False Unreachable 0/1")
        #expect(await store.bindings[binding]?.status?.bindings.map(\.ready) == [false, true])
        _ = await bindings.reconcile(binding)
        #expect(await store.bindings[binding]?.status?.bindings.map(\.ready) == [false, false])
    }

    @Test func tellsOfUplinksThatAnswerAndAreNotReady() async {
        await settle()
        vps.state.withLock {
            $0.uplink?.ready = false
            $0.uplink?.reason = "no document"
        }
        _ = await reconciler.reconcile(name)
        #expect(await ready() == "False UplinksDown 0/1")
    }

    @Test func looksAgainSoonForATargetThatDoesNotAnswer() async {
        await settle()
        vps.state.withLock { $0.uplink?.targets = [TargetReport(binding: "web", reachable: false, message: "refused")] }
        var waits: [ReconcileOutcome] = []
        for _ in 0..<4 { waits.append(await reconciler.reconcile(name)) }
        #expect(waits == [1, 2, 3, 3].map { .done(requeueAfter: .seconds($0)) })
        vps.state.withLock { $0.uplink?.targets = [] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        vps.state.withLock { $0.uplink?.targets = [TargetReport(binding: "web", reachable: false, message: "refused")] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: .seconds(1)))
    }

    /// Where nothing tells that the cause is gone: rights, namespaces, objects of others.
    @Test func triesAgainSoonWhereSomethingNamedHasToComeFirst() async throws {
        await settle()
        let failure = StoreError("cannot write; grant it by RBAC", reason: "Forbidden", followUp: .waiting)
        await store.change { $0.errors["publish"] = failure }
        var waits: [ReconcileOutcome] = []
        var messages: Set<String> = []
        for _ in 0..<5 {
            waits.append(await reconciler.reconcile(name))
            messages.insert(await store.nodes[name]?.status?.conditions["Ready"]?.message ?? "")
        }
        #expect(waits == [1, 2, 4, 8, 8].map { .done(requeueAfter: .seconds($0)) })
        #expect(messages == ["cannot write; grant it by RBAC; tried again within 8 s"])
        #expect(Set(await store.takeEvents().map(\.message)) == ["cannot write; grant it by RBAC"])
        // What the pods tell meanwhile does not hide it.
        _ = outcomes.setPods(pod(), of: name)
        try await reconciler.tellStatus(of: name)
        #expect(await ready() == "False Forbidden 1/1")
        let since = await store.nodes[name]?.status?.conditions["Ready"]?.lastTransitionTime
        #expect(since?.isEmpty == false)
        // The bindings are served as before.
        #expect(await bindingReason() == "Applied")
        await store.change { $0.errors = [:] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(await ready() == "True Ready 1/1")
        await store.change { $0.errors["publish"] = failure }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: .seconds(1)), "a new row")
    }

    /// fail2ban and faillock count: what the VPS itself refused is tried soon, but seldom, and the message says when.
    @Test(arguments: [(EnrollmentError.Reason.authenticationFailed, Int64(8)), (.sudoPasswordWrong, 460), (.sshSecretInvalid, 1)])
    func triesSeldomWhatTheVPSRefused(reason: EnrollmentError.Reason, seconds: Int64) async {
        let followUp: FollowUp = reason == .sshSecretInvalid ? .waiting : .refused
        vps.state.withLock { $0.failure = EnrollmentError(reason: reason, message: "no", followUp: followUp) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: .seconds(seconds)))
        let message = await store.nodes[name]?.status?.conditions["Ready"]?.message
        #expect(message == "no; tried again within \(max(8, seconds)) s")
    }
}
