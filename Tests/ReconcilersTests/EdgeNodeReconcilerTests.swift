import EdgeAPI
import Enrollment
import Fixtures
import Logging
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import TestCertificates
import Testing

@testable import Reconcilers

/// The reconciler over a store in memory and a VPS that is made up: the order of its steps, and what follows from each failure.
@Suite struct EdgeNodeReconcilerTests {
    private let name = ObjectName(namespace: "default", name: "edge")
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

    private func annotate(_ annotations: [String: String], deleted: Bool = false) async {
        let name = name
        await store.change {
            $0.nodes[name]?.metadata.annotations = annotations
            if deleted { $0.nodes[name]?.metadata.deletionTimestamp = "2026-11-21T11:00:00Z" }
        }
    }

    /// Enrolled, with an uplink that is ready and holds the present document.
    private func settle() async {
        _ = await reconciler.reconcile(name)
        let hash = await store.published[name]?.hash
        vps.state.withLock { $0.uplink = readyUplink(hash: hash) }
        _ = await reconciler.reconcile(name)
        _ = journal.take()
        _ = await store.takeEvents()
    }

    @Test func enrolls() async throws {
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        // The relay's key is made on the VPS; so the uplinks' document can only follow.
        #expect(journal.take() == ["holdNode", "apply", "publish"])
        let document = try #require(vps.state.withLock { $0.document })
        #expect(document.owner == Owner(installation: "i", namespace: "default", name: "edge"))
        #expect(document.epoch == 7)
        #expect(document.agentBuild == "b1")
        #expect(document.hash == (try document.content.digest()))
        #expect(document.restartEnvoy == nil)
        let published = try #require(await store.published[name])
        #expect(published.hash == (try published.content.digest()))
        #expect(published.content.relay.publicKey == (try publicKey(99)))
        #expect(published.content.forwards.map(\.binding) == ["web", "dns"])
        let status = try #require(await store.nodes[name]?.status)
        #expect(status.relayPublicKey == (try publicKey(99)))
        #expect(status.conditions["Enrolled"]?.status == .true)
        #expect(status.conditions["Ready"]?.reason == "NoHandshake")
    }

    @Test func isReadyOnceAnUplinkHoldsTheDocument() async throws {
        _ = await reconciler.reconcile(name)
        let hash = try #require(await store.published[name]?.hash)
        vps.state.withLock { $0.uplink = readyUplink(hash: SHA256.digest(of: "older")) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        vps.state.withLock { $0.uplink = readyUplink(hash: hash) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(await store.nodes[name]?.status?.conditions["Ready"]?.status == .true)
        vps.state.withLock { $0.starved = ["web"] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        vps.state.withLock { ($0.starved, $0.listenerState) = ([], .pending) }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
    }

    /// Uplinks that stay away must not cost an exec each second for ever.
    @Test func looksLessOftenForUplinksThatStayAway() async throws {
        _ = await reconciler.reconcile(name)
        for _ in 1..<EdgeNodeReconciler.quickLooks {
            #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.slowSettling))
        // A change is looked at closely again, and so is what follows a good time.
        let binding = portBinding("new", [try tcp("more", 81)])
        await store.change { $0.bindings[binding.metadata.objectName] = binding }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        await settle()
        vps.state.withLock { $0.uplink = nil }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
    }

    /// A VPS that makes a new key each time has the uplinks' document written anew, but no more often for it.
    @Test func looksLessOftenAtAVPSThatSaysAnotherThingEachTime() async throws {
        _ = await reconciler.reconcile(name)
        for number in 1..<EdgeNodeReconciler.quickLooks {
            let key = try publicKey(UInt8(number))
            vps.state.withLock { $0.relayKey = key }
            #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        }
        let key = try publicKey(50)
        vps.state.withLock { $0.relayKey = key }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.slowSettling))
    }

    /// One exec, and no event; the uplinks hear of a new port before Envoy does.
    @Test func asksOnceWhenThereIsNothingToDo() async {
        await settle()
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.resync))
        #expect(journal.take() == ["publish", "apply"])
        #expect(await store.takeEvents().isEmpty)
    }

    @Test func publishesAnewWhenTheVPSHasANewKey() async throws {
        await settle()
        let key = try publicKey(77)
        vps.state.withLock { $0.relayKey = key }
        _ = await reconciler.reconcile(name)
        #expect(journal.take() == ["publish", "apply", "publish"])
        #expect(await store.published[name]?.content.relay.publicKey == key)
        #expect(await store.nodes[name]?.status?.relayPublicKey == key)
    }

    @Test func waitsForTheSSHSecret() async {
        await store.change { $0.secrets = [:] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: .seconds(1)))
        #expect(journal.take() == ["holdNode"])
        let enrolled = await store.nodes[name]?.status?.conditions["Enrolled"]
        #expect(enrolled?.reason == "SSHSecretMissing")
        #expect(
            enrolled?.message == "Secret default/vps-ssh does not exist; create it with privateKey (or password) and knownHosts; "
                + "tried again within 8 s")
        #expect(await store.takeEvents().map(\.reason) == ["SSHSecretMissing"])
    }

    @Test(arguments: [
        (FollowUp.retry, ReconcileOutcome.failed), (.refused, .done(requeueAfter: NextLook.refused(0))),
        (.stalled, .done(requeueAfter: EdgeNodeReconciler.resync)),
    ])
    func triesAgainAsTheFailureAsks(followUp: FollowUp, outcome: ReconcileOutcome) async {
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: followUp) }
        #expect(await reconciler.reconcile(name) == outcome)
        let next = followUp == .refused ? "; tried again within 8 s" : ""
        #expect(await store.nodes[name]?.status?.conditions["Ready"]?.message == "no route" + next)
        #expect(
            await store.takeEvents() == [
                ResourceEvent(kind: "EdgeNode", name: name, level: .warning, reason: "Unreachable", message: "no route")
            ])
        // The bindings say why they are not there.
        let binding = ObjectName(namespace: "default", name: "b")
        #expect(await bindings.reconcile(binding) == .done(requeueAfter: nil))
        #expect(await store.bindings[binding]?.status?.bindings.first?.message == "EdgeNode default/edge: no route")
    }

    @Test(arguments: ["edgeNode", "holdNode", "uplinkKeys", "publish", "setStatus"])
    func triesAgainWhenTheStoreFails(call: String) async {
        await store.change { $0.failing = [call] }
        #expect(await reconciler.reconcile(name) == .failed)
        await store.change { $0.failing = [] }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: EdgeNodeReconciler.settling))
        #expect(await store.published[name] != nil)
    }

    @Test func tellsOfDriftAndProblems() async {
        await settle()
        vps.state.withLock {
            $0.drift = ["wg-relay was gone"]
            $0.problems = [AgentProblem(kind: .network, message: "offloads stay on")]
        }
        _ = await reconciler.reconcile(name)
        #expect(
            await store.takeEvents().map { "\($0.level.rawValue) \($0.reason): \($0.message)" } == [
                "Warning DriftRepaired: wg-relay was gone", "Warning AgentProblem: offloads stay on",
            ])
    }

    @Test func tellsOfWhatAnUplinkPutRightOnce() async {
        await settle()
        let flushed = "nftables: made table ip tidegate"
        vps.state.withLock { $0.uplink?.repairs = 0 }
        _ = await reconciler.reconcile(name)
        vps.state.withLock {
            $0.uplink?.repairs = 1
            $0.uplink?.lastRepair = flushed
        }
        _ = await reconciler.reconcile(name)
        #expect(
            await store.takeEvents() == [
                ResourceEvent(
                    kind: "EdgeNode", name: name, level: .warning, reason: "DriftRepaired",
                    message: "uplink 0 put right by itself what others had changed: \(flushed)")
            ])
        _ = await reconciler.reconcile(name)
        #expect(await store.takeEvents() == [])
    }

    @Test func opensANewSessionWhenTheSecretChanges() async throws {
        await settle()
        let other = Secret(metadata: ObjectMeta(name: "vps-ssh"), data: ["privateKey": try SecretBytes(copying: [2])])
        await store.change { $0.secrets[other.metadata.objectName] = other }
        _ = await reconciler.reconcile(name)
        #expect(journal.take() == ["publish", "close password", "apply"])
    }

    @Test func warnsOnceOfEachPrivateKeyOnTheVPS() async throws {
        await settle()
        let secret = try freshTLSSecret()
        let reference = NamespacedReference(name: "web-tls")
        let binding = portBinding("t", [try tls("off", 443, mode: .offload(reference)), try tls("pass", 444)])
        await store.change {
            $0.secrets[secret.metadata.objectName] = secret
            $0.bindings[binding.metadata.objectName] = binding
        }
        _ = await reconciler.reconcile(name)
        let warning = ResourceEvent(
            kind: "PortBinding", name: ObjectName(namespace: "default", name: "t"), level: .warning, reason: "PrivateKeyOnEdge",
            message: "the private key of Secret default/web-tls was copied to the VPS, where binding off ends TLS")
        #expect(await store.takeEvents() == [warning])
        // Neither another change, nor a time in which the VPS was away, nor a renewal makes it the first time again.
        vps.state.withLock { $0.failure = EnrollmentError(reason: .unreachable, message: "no route", followUp: .retry) }
        _ = await reconciler.reconcile(name)
        vps.state.withLock { $0.failure = nil }
        let renewed = try freshTLSSecret()
        await store.change { $0.secrets[renewed.metadata.objectName] = renewed }
        _ = await reconciler.reconcile(name)
        #expect(await store.takeEvents().map(\.reason) == ["Unreachable", "Ready"])
        // A controller that has just started finds a VPS that has it all.
        let successor = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: NodeOutcomes(),
            writer: .init(installation: "i", writer: "w", epoch: { 8 }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        _ = await successor.reconcile(name)
        #expect(await store.takeEvents().isEmpty)
    }

    @Test func keepsWhatWasServedWhenATLSSecretIsGone() async throws {
        let secret = try freshTLSSecret()
        let reference = NamespacedReference(name: "web-tls")
        let binding = portBinding("t", [try tls("off", 443, mode: .offload(reference))])
        await store.change {
            $0.secrets[secret.metadata.objectName] = secret
            $0.bindings[binding.metadata.objectName] = binding
        }
        await settle()
        _ = await bindings.reconcile(binding.metadata.objectName)
        await store.change { $0.secrets[secret.metadata.objectName] = nil }
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.content.envoy.keptCertificates } == ["off"])
        let synced = await store.nodes[name]?.status?.conditions["ConfigSynced"]
        #expect(synced?.reason == "TLSSecretIncomplete")
        #expect(synced?.message.contains("stays in force") == true)

        // A VPS that has none gets the rest of the bindings, at the same reconcile.
        _ = await bindings.reconcile(binding.metadata.objectName)
        vps.state.withLock { $0.lacks = ["off"] }
        _ = journal.take()
        _ = await reconciler.reconcile(name)
        #expect(journal.take().count { $0 == "apply" } == 2)
        #expect(vps.state.withLock { $0.document?.content.envoy.keptCertificates } == [])
        #expect(vps.state.withLock { $0.document?.content.listeners.contains { $0.name == "tcp-443" } } == false)
    }

    // MARK: restart

    @Test func restartsEnvoyOnce() async {
        await settle()
        await annotate([APIName.restartEnvoyAnnotation: "true"])
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.restartEnvoy } == "true/")
        #expect(journal.take() == ["publish", "apply", "removeAnnotation"])
        #expect(
            await store.takeEvents() == [
                ResourceEvent(
                    kind: "EdgeNode", name: name, level: .normal, reason: "EnvoyRestarted", message: "Envoy was restarted hot.")
            ])
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.restartEnvoy } == nil)
        #expect(journal.take() == ["publish", "apply"])
    }

    @Test func keepsTheWishToRestartUntilItIsDone() async {
        await settle()
        await annotate([APIName.restartEnvoyAnnotation: "true"])
        vps.state.withLock { $0.failure = EnrollmentError(reason: .connectionLost, message: "cut", followUp: .retry) }
        #expect(await reconciler.reconcile(name) == .failed)
        #expect(journal.take() == ["publish", "apply"])
        #expect(await store.nodes[name]?.metadata.annotations.isEmpty == false)
    }

    @Test func doesNotRestartWhenTold() async {
        await settle()
        await annotate([APIName.restartEnvoyAnnotation: "false"])
        _ = await reconciler.reconcile(name)
        #expect(vps.state.withLock { $0.document?.restartEnvoy } == nil)
        #expect(journal.take() == ["publish", "apply"])
    }

    @Test func forgetsANodeThatIsGone() async {
        await settle()
        let name = name
        await store.change { $0.nodes[name] = nil }
        #expect(await reconciler.reconcile(name) == .done(requeueAfter: nil))
        #expect(journal.take() == ["close password"])
        #expect(outcomes[name] == nil)
    }

    // MARK: the bindings' status

    @Test func writesABindingsStatusOnlyWhenItChanged() async throws {
        await settle()
        let binding = ObjectName(namespace: "default", name: "b")
        #expect(await bindings.reconcile(binding) == .done(requeueAfter: nil))
        #expect(journal.take() == ["setBindingStatus"])
        #expect(await store.bindings[binding]?.status?.conditions["Ready"]?.status == .true)
        #expect(await bindings.reconcile(binding) == .done(requeueAfter: nil))
        #expect(journal.take() == [])
        await store.change { $0.failing = ["portBinding"] }
        #expect(await bindings.reconcile(binding) == .failed)
    }

    @Test func leavesABindingThatIsGoneAlone() async {
        #expect(await bindings.reconcile(ObjectName(namespace: "default", name: "nowhere")) == .done(requeueAfter: nil))
        let binding = ObjectName(namespace: "default", name: "b")
        await store.change { $0.bindings[binding]?.metadata.deletionTimestamp = "2026-11-21T11:00:00Z" }
        #expect(await bindings.reconcile(binding) == .done(requeueAfter: nil))
        #expect(journal.take() == [])
    }
}
