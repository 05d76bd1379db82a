import EdgeAPI
import Fixtures
import Logging
import NetworkTypes
import NodeDocument
import Sodium
import Synchronization
import Testing

@testable import Reconcilers

/// What another namespace's owner must have said before a Secret or Service of theirs is used.
@Suite struct CrossReferenceTests {
    private let name = ObjectName(namespace: "default", name: "edge")
    private let journal = Journal()
    private let store: MemoryStore
    private let vps: FakeVPS

    init() async throws {
        store = MemoryStore(journal)
        vps = try FakeVPS(journal)
        var node = try edgeNode()
        node.spec.ssh.secretRef.namespace = "other"
        let binding = portBinding("b", [try tcp("web", 80)])
        let kept = node
        await store.change {
            $0.nodes[kept.metadata.objectName] = kept
            $0.bindings[binding.metadata.objectName] = binding
        }
    }

    private func putSecret(_ word: String?) async throws {
        let annotations = word.map { [APIName.allowReferencesAnnotation: $0] } ?? [:]
        let secret = Secret(
            metadata: ObjectMeta(name: "vps-ssh", namespace: "other", annotations: annotations),
            data: ["password": try SecretBytes(copying: [1])])
        await store.change { $0.secrets[secret.metadata.objectName] = secret }
    }

    private func reconcile() async -> Condition? {
        let nodes = EdgeNodeReconciler(
            store: store, sessions: vps.sessions(), outcomes: NodeOutcomes(),
            writer: WriterFence(installation: "i", writer: "w", epoch: { 7 }),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        _ = await nodes.reconcile(name)
        return await store.nodes[name]?.status?.conditions["Enrolled"]
    }

    @Test func anSSHSecretOfAnotherNamespaceNeedsItsOwnersWord() async throws {
        let missing = await reconcile()
        #expect(missing?.reason == "ReferenceNotAllowed")
        for word in [nil, "", "others", "default-2,x", "-"] {
            try await putSecret(word)
            // Nobody learns whether there is one.
            let told = await reconcile()
            #expect(told?.reason == "ReferenceNotAllowed")
            #expect(told?.message == missing?.message)
        }
        #expect(journal.take().contains("apply") == false)
        for word in ["default", "a, default ,b", "*"] {
            try await putSecret(word)
            #expect(await reconcile()?.reason == "Enrolled", "\(word)")
        }
    }

    @Test func aReferenceGrantIsAWordToo() async throws {
        try await putSecret(nil)
        let reference = CrossReference(
            kind: EdgeNode.kind, namespace: "default", targetKind: Secret.kind,
            target: ObjectName(namespace: "other", name: "vps-ssh"))
        await store.change { $0.granted = [reference] }
        #expect(await reconcile()?.reason == "Enrolled")
    }

    @Test func servicesNeedNoneUnlessTheOperatorAsksForIt() async throws {
        try await putSecret("*")
        let reference = NamespacedReference(name: "web", namespace: "shop")
        let service = Service(
            metadata: ObjectMeta(name: "web", namespace: "shop"), clusterIP: try IPv4Address(parsing: "10.96.0.9"),
            ports: [ServicePort(port: try Port(80))])
        var binding = try tcp("web", 80)
        binding.target = .service(reference, port: try Port(80))
        let bindings = portBinding("b", [binding])
        await store.change {
            $0.services[service.metadata.objectName] = service
            $0.bindings[bindings.metadata.objectName] = bindings
        }
        _ = await reconcile()
        #expect(vps.listeners == ["tcp-80"])
        await store.change { $0.servicesNeedWord = true }
        _ = await reconcile()
        #expect(vps.listeners == [])
        var allowed = service
        allowed.metadata.annotations[APIName.allowReferencesAnnotation] = "default"
        let kept = allowed
        await store.change { $0.services[kept.metadata.objectName] = kept }
        _ = await reconcile()
        #expect(vps.listeners == ["tcp-80"])
    }
}

extension FakeVPS {
    /// Names of the public ones that it was sent last.
    fileprivate var listeners: [String] {
        state.withLock { $0.document?.content.listeners.map(\.name).filter { $0 != "bridge" } ?? [] }
    }
}
