import Documents
import EdgeAPI
import Enrollment
import Fixtures
import JSON
import KubernetesAPI
import Reconcilers
import Synchronization
import Testing

@testable import Controller

@Suite struct TenantPolicyTests {
    private func nodes(_ count: Int) throws -> [EdgeNode] {
        try (0..<count).map { number in
            var node = try edgeNode("edge-\(number)")
            node.metadata.creationTimestamp = "2026-11-28T10:00:0\(number)Z"
            return node
        }
    }

    @Test func theOldestStayWithinTheNumber() throws {
        let policy = TenantPolicy(mostEdgeNodes: 2)
        let all = try nodes(4)
        for node in all.prefix(2) { try policy.check(node, among: all) }
        for node in all.dropFirst(2) {
            let error = #expect(throws: StoreError.self) { try policy.check(node, among: all) }
            #expect(error?.reason == "NotAllowed")
            #expect(error?.message.contains("--max-edge-nodes-per-namespace") == true)
        }
        try policy.check(all[3], among: Array(all.suffix(2)))
    }

    @Test func whatAnEdgeNodeAsksForIsLookedAt() throws {
        var node = try edgeNode()
        node.spec.uplink.replicas = 253
        let error = #expect(throws: StoreError.self) { try TenantPolicy().check(node, among: [node]) }
        #expect(error?.message.hasSuffix("until that is changed the VPS and its uplinks are left as they are") == true)
    }

    private let reference = CrossReference(
        kind: EdgeNode.kind, namespace: "team", targetKind: Secret.kind, target: ObjectName(namespace: "vault", name: "ssh"))

    private func grant(
        group: FieldValue = "tunnel.achetronic.com", from kind: FieldValue = "EdgeNode", namespace: FieldValue = "team",
        to: FieldValue = ["group": "", "kind": "Secret"]
    ) -> FieldNode {
        FieldNode(
            value: [
                "spec": ["from": [["group": group, "kind": kind, "namespace": namespace]], "to": .array([to])]
            ])
    }

    @Test func aGrantNamesWhoAndWhat() {
        #expect(Grant(grant()).allows(reference))
        #expect(Grant(grant(to: ["group": "", "kind": "Secret", "name": "ssh"])).allows(reference))
        for other in [
            grant(group: "example.com"), grant(from: "PortBinding"), grant(namespace: "else"), grant(namespace: "*"),
            grant(to: ["group": "", "kind": "Service"]), grant(to: ["group": "", "kind": "Secret", "name": "tls"]),
            grant(to: ["group": "example.com", "kind": "Secret"]), FieldNode(value: [:]), FieldNode(value: ["spec": "x"]),
        ] { #expect(!Grant(other).allows(reference)) }
    }

    @Test func grantsAreAskedForOnce() async throws {
        let cupboard = Cupboard()
        let path = "/apis/gateway.networking.k8s.io/v1beta1/namespaces/vault/referencegrants"
        // A cluster without the Gateway API.
        #expect(try await ReferenceGrants(cupboard.server).allow(reference) == false)
        cupboard.put(path, ["metadata": ["resourceVersion": "1"], "items": .array([Cupboard.value(grant())])])
        let grants = ReferenceGrants(cupboard.server)
        _ = cupboard.take()
        for _ in 0..<3 { #expect(try await grants.allow(reference)) }
        #expect(cupboard.take() == ["GET \(path)"])
        cupboard.state.withLock { $0.errors["GET \(path)"] = [.unreachable("gone")] }
        let error = await #expect(throws: StoreError.self) { try await ReferenceGrants(cupboard.server).allow(reference) }
        #expect(error?.followUp == .retry)
    }
}
