import EdgeAPI
import Fixtures
import KubernetesAPI
import Logging
import NetworkTypes
import NodeDocument
import Planning
import Reconcilers
import Sodium
import Synchronization
import Testing
import UplinkWorkload

@testable import Controller

/// In which order the uplinks' objects are written, when nothing is, and whose are left alone.
@Suite struct UplinkWriterTests {
    private let cupboard = Cupboard()
    private let writer: UplinkWriter
    private let core = "/api/v1/namespaces/tunnel"
    private var config: String { "\(core)/configmaps/edge-uplink-config" }
    private var keys: String { "\(core)/secrets/edge-uplink-keys" }
    private let set = "/apis/apps/v1/namespaces/tunnel/statefulsets/edge-uplink"
    private let budget = "/apis/policy/v1/namespaces/tunnel/poddisruptionbudgets/edge-uplink"

    init() {
        writer = UplinkWriter(
            cupboard.server, UplinkPodSettings(image: "example/uplink:1"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func document(_ node: EdgeNode, port: Int = 80) throws -> UplinkDocument {
        let plan = makePlan(try planInput(node, [portBinding("b", [try tcp("web", port)])]))
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9))
        let owner = Owner(installation: "i", namespace: "default", name: "edge")
        return UplinkDocument(owner: owner, hash: try content.digest(), content: content)
    }

    @Test func makesWhatIsMissingAndThenAsksNothing() async throws {
        let node = try edgeNode()
        #expect(try await writer.keys(of: node).keys.sorted() == [0])
        #expect(cupboard.take() == ["GET \(keys)", "POST \(core)/secrets"])
        try await writer.publish(try document(node), for: node)
        #expect(
            cupboard.take() == [
                "GET \(config)", "PATCH \(config)", "GET \(core)/services/edge-uplink", "PATCH \(core)/services/edge-uplink",
                "GET \(budget)", "GET \(set)", "PATCH \(set)",
            ], "the document before the pods that read it")
        _ = try await writer.keys(of: node)
        try await writer.publish(try document(node), for: node)
        #expect(cupboard.take() == [])
    }

    @Test func wakesThePodsWhenTheDocumentChanges() async throws {
        let node = try edgeNode(replicas: 2)
        _ = try await writer.keys(of: node)
        try await writer.publish(try document(node), for: node)
        _ = cupboard.take()
        try await writer.publish(try document(node, port: 81), for: node)
        let asked = cupboard.take()
        #expect(asked.first == "PATCH \(config)", "one request, then the pods are told")
        #expect(Set(asked.dropFirst()) == ["PATCH \(core)/pods/edge-uplink-0", "PATCH \(core)/pods/edge-uplink-1"])
    }

    @Test func keepsTheKeyOfAPodThatIsLeaving() async throws {
        let three = try edgeNode(replicas: 3)
        let before = try await writer.keys(of: three)
        cupboard.put("\(core)/pods/edge-uplink-2", ["metadata": ["name": "edge-uplink-2"]])
        let one = try edgeNode(replicas: 1)
        let during = try await writer.keys(of: one)
        #expect(during == before.filter { $0.key != 1 }, "0 stays, 2 still drains, 1 is gone")
        cupboard.remove("\(core)/pods/edge-uplink-2")
        #expect(try await writer.keys(of: one) == before.filter { $0.key == 0 })
        _ = cupboard.take()
        _ = try await writer.keys(of: one)
        #expect(cupboard.take() == [])
    }

    @Test func makesKeysAgainstOthersWhoWriteTheSecret() async throws {
        cupboard.state.withLock {
            $0.errors["POST \(core)/secrets"] = [.status(APIStatus(code: 409, reason: "AlreadyExists", message: "there"))]
        }
        #expect(try await writer.keys(of: try edgeNode()).count == 1)
        #expect(cupboard.take() == ["GET \(keys)", "POST \(core)/secrets", "GET \(keys)", "POST \(core)/secrets"])
    }

    @Test func leavesAloneWhatIsAnothers() async throws {
        let node = try edgeNode()
        cupboard.put(
            set,
            ["metadata": ["name": "edge-uplink", "annotations": ["tunnel.achetronic.com/edge-node": "team/edge"]]])
        let error = await #expect(throws: StoreError.self) { try await writer.publish(try document(node), for: node) }
        #expect(error?.reason == "UplinkNameTaken")
        #expect(error?.followUp == .waiting)
        #expect(!cupboard.take().contains("PATCH \(set)"))
        cupboard.put(keys, ["metadata": ["name": "edge-uplink-keys"], "data": ["priv-0": "x"]])
        let taken = await #expect(throws: StoreError.self) { try await writer.keys(of: node) }
        #expect(taken?.reason == "UplinkNameTaken")
        try await writer.withdraw(node)
        #expect(cupboard.object(set) != nil)
        #expect(cupboard.object(keys) != nil)
    }

    @Test func removesTheBudgetOfOneAndEverythingInTheEnd() async throws {
        let two = try edgeNode(replicas: 2)
        _ = try await writer.keys(of: two)
        try await writer.publish(try document(two), for: two)
        #expect(cupboard.object(budget) != nil)
        let one = try edgeNode(replicas: 1)
        try await writer.publish(try document(one), for: one)
        #expect(cupboard.object(budget) == nil)
        try await writer.withdraw(one)
        #expect(cupboard.state.withLock { $0.objects.isEmpty })
    }

    @Test func saysWhatTheNamespaceLacks() async throws {
        cupboard.state.withLock {
            $0.errors["POST \(core)/secrets"] = [
                .status(APIStatus(code: 404, reason: "NotFound", message: #"namespaces "tunnel" not found"#))
            ]
        }
        let error = await #expect(throws: StoreError.self) { try await writer.keys(of: try edgeNode()) }
        #expect(error?.reason == "NamespaceMissing")
        #expect(error?.message.contains(#"namespaces "tunnel" not found (404 NotFound); create the namespace"#) == true)
    }
}
