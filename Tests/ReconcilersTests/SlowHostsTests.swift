import EdgeAPI
import Enrollment
import Fixtures
import Logging
import NetworkTypes
import NodeDocument
import SSH
import Sodium
import Synchronization
import Testing

@testable import Reconcilers

/// Two hundred EdgeNodes of which a hundred hang: a binding on one of the others is in force within five seconds.
@Suite(.timeLimit(.minutes(5))) struct SlowHostsTests {
    enum Step: String, CaseIterable, Sendable { case open, apply, statistics, close, teardown }

    /// VPSes that do what they are asked at once, or never.
    private final class Hosts: Sendable {
        struct State {
            var hanging: Set<ObjectName> = []
            var step = Step.apply
            var ports: [ObjectName: Int] = [:]
            var version = 0
        }
        let state = Mutex(State())

        func wait(at step: Step, _ name: ObjectName) async {
            guard state.withLock({ $0.step == step && $0.hanging.contains(name) }) else { return }
            // As an exec that is cut off with its connection.
            try? await Task.sleep(for: .seconds(3600))
        }

        private static func checkNotCut() throws(EnrollmentError) {
            guard Task.isCancelled else { return }
            throw EnrollmentError(reason: .connectionLost, message: "cut off", followUp: .retry)
        }

        func sessions() -> NodeSessions {
            NodeSessions(agentBuild: "b1", envoyRelease: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil)) {
                node, _, _ throws(EnrollmentError) in
                let name = node.metadata.objectName
                return NodeLink(
                    // Another each time, so that the former is closed.
                    fingerprint: SHA256.digest(of: "\(self.state.withLock { $0.version })"),
                    apply: { document throws(EnrollmentError) in
                        await self.wait(at: .open, name)
                        await self.wait(at: .apply, name)
                        try Self.checkNotCut()
                        self.state.withLock { $0.ports[name] = document.content.listeners.count }
                        return AgentReport(outcome: .applied, agentBuild: "b1", hash: document.hash, epoch: document.epoch)
                    },
                    teardown: { _ throws(EnrollmentError) in
                        await self.wait(at: .teardown, name)
                        try Self.checkNotCut()
                        return nil
                    },
                    statistics: {
                        await self.wait(at: .statistics, name)
                        return SSHStatistics()
                    },
                    close: { await self.wait(at: .close, name) })
            }
        }
    }

    private let journal = Journal()
    private let hosts = Hosts()
    private let store: MemoryStore
    private let honest: [ObjectName]
    private let hanging: [ObjectName]

    init() async throws {
        try await self.init(honest: "default", hanging: "default")
    }

    private init(honest: String, hanging: String) async throws {
        store = MemoryStore(journal)
        self.honest = (0..<100).map { ObjectName(namespace: honest, name: "honest-\($0)") }
        self.hanging = (0..<100).map { ObjectName(namespace: hanging, name: "another-\($0)") }
        for name in self.honest + self.hanging {
            let node = try edgeNode(name.name, namespace: name.namespace)
            let secret = Secret(
                metadata: ObjectMeta(name: "vps-ssh", namespace: name.namespace),
                data: ["password": try SecretBytes(copying: [1])])
            await store.change {
                $0.nodes[name] = node
                $0.secrets[secret.metadata.objectName] = secret
            }
        }
    }

    private func reconciler() -> EdgeNodeReconciler {
        EdgeNodeReconciler(
            store: store, sessions: hosts.sessions(), outcomes: NodeOutcomes(),
            writer: WriterFence(installation: "i", writer: "w", epoch: { 7 }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    /// Runs a queue over the reconciler as the controller does, with the default of `--max-concurrent-reconciles`.
    private func working(_ body: (WorkQueue<ObjectName>) async throws -> Void) async throws {
        let queue = WorkQueue<ObjectName>(
            concurrency: 5, shares: .byHost, share: { WorkShare(tenant: $0.namespace, host: $0.name) })
        let nodes = reconciler()
        let sessions = nodes.sessions
        try await withThrowingTaskGroup { group in
            group.addTask {
                await queue.run { name in
                    let outcome = await nodes.reconcile(name)
                    _ = await sessions.statistics(of: name)
                    return outcome
                }
            }
            try await body(queue)
            group.cancelAll()
        }
    }

    private func eventually(_ condition: () -> Bool) async {
        while !condition() { try? await Task.sleep(for: .milliseconds(5)) }
    }

    /// Seconds until a new binding of an honest node is at its VPS.
    private func binding(_ number: Int, _ queue: WorkQueue<ObjectName>) async throws -> Duration {
        let node = honest[number]
        let before = hosts.state.withLock { $0.ports[node] ?? 0 }
        let new = portBinding("new-\(number)", of: node.name, namespace: node.namespace, [try tcp("web", 8000)])
        await store.change { $0.bindings[new.metadata.objectName] = new }
        let begin = ContinuousClock.now
        queue.add(node)
        await eventually { hosts.state.withLock { $0.ports[node] ?? 0 } > before }
        return .now - begin
    }

    private func deleteHanging() async {
        let names = hanging
        await store.change { store in
            for name in names { store.nodes[name]?.metadata.deletionTimestamp = "2026-11-28T10:00:00Z" }
        }
    }

    @Test(arguments: Step.allCases) func hangingOnesHoldUpNobody(step: Step) async throws {
        try await working { queue in
            for name in honest + hanging { queue.add(name) }
            await eventually { hosts.state.withLock { $0.ports.count } == 200 }
            hosts.state.withLock { state in
                state.hanging = Set(hanging)
                state.step = step
                if step == .close { state.version += 1 }
            }
            if step == .teardown { await deleteHanging() }
            for name in hanging { queue.add(name) }
            let first = try await binding(0, queue)
            #expect(first < Self.patience)
            // And when all of them hang indeed.
            try await Task.sleep(for: .seconds(4))
            for name in hanging { queue.add(name) }
            let second = try await binding(1, queue)
            #expect(second < Self.patience)
        }
    }

    /// The hanging ones hang for ever; some seconds are this machine's, with all other tests beside.
    private static let patience: Duration = .seconds(30)

    /// After a start nobody knows who is slow.
    @Test(arguments: ["default", "mallory"]) func notEvenAfterAStart(namespace: String) async throws {
        let tests = try await SlowHostsTests(honest: "default", hanging: namespace)
        try await tests.startCold()
    }

    private func startCold() async throws {
        hosts.state.withLock { $0.hanging = Set(hanging) }
        try await working { queue in
            for name in hanging { queue.add(name) }
            let took = try await binding(0, queue)
            #expect(took < Self.patience)
        }
    }

    @Test func whatTakesTooLongIsCutAndTold() async throws {
        var nodes = reconciler()
        nodes.patience = .milliseconds(50)
        let name = hanging[0]
        hosts.state.withLock { $0.hanging = [name] }
        #expect(await nodes.reconcile(name) == .failed)
        let ready = await store.nodes[name]?.status?.conditions["Ready"]
        #expect(ready?.reason == "DeadlineExceeded")
        #expect(ready?.message.contains("the connection was cut") == true)
        hosts.state.withLock { $0.step = .teardown }
        await deleteHanging()
        #expect(await nodes.reconcile(name) == .failed)
        #expect(await store.nodes[name]?.status?.conditions["Ready"]?.reason == "DeadlineExceeded")
        hosts.state.withLock { $0.hanging = [] }
        #expect(await nodes.reconcile(name) == .done(requeueAfter: nil))
    }
}
