import Documents
import EdgeAPI
import Fixtures
import JSON
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

/// What the uplinks' objects are called where several EdgeNodes have the same name, or had.
@Suite struct UplinkWriterNamesTests {
    private let cupboard = Cupboard()
    private let core = "/api/v1/namespaces/tunnel"
    private let keys = "/api/v1/namespaces/tunnel/secrets/edge-uplink-keys"
    private let set = "/apis/apps/v1/namespaces/tunnel/statefulsets/edge-uplink"
    /// Of `default/edge`.
    private let qualified = "edge-\(SHA256.digest(of: "default/edge").description.prefix(12))-uplinks"

    /// One that has just started.
    private func writer() -> UplinkWriter {
        UplinkWriter(
            cupboard.server, UplinkPodSettings(image: "example/uplink:1"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
    }

    private func document(_ node: EdgeNode) throws -> UplinkDocument {
        let plan = makePlan(try planInput(node, [portBinding("b", [try tcp("web", 80)])]))
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9))
        let owner = Owner(installation: "i", namespace: node.metadata.namespace, name: node.metadata.name)
        return UplinkDocument(owner: owner, hash: try content.digest(), content: content)
    }

    /// Two EdgeNodes of one name in two namespaces: whoever comes second has names that nobody else can have, for as long as it lives.
    @Test func theSecondOfANameHasNamesOfItsOwn() async throws {
        let writer = writer()
        let first = try edgeNode("edge", namespace: "team")
        _ = try await writer.keys(of: first)
        _ = try await writer.publish(try document(first), for: first)
        let (set, keys) = (cupboard.object(set), cupboard.object(keys))
        let second = try edgeNode()
        let made = try await writer.keys(of: second).keys
        #expect(try await writer.publish(try document(second), for: second) == [])
        #expect(cupboard.object(self.set) == set && cupboard.object(self.keys) == keys)
        let own = cupboard.object("/apis/apps/v1/namespaces/tunnel/statefulsets/\(qualified)")
        #expect(own?["spec"]?["selector"]?["matchLabels"]?.texts["app.kubernetes.io/instance"] == qualified)
        #expect(writer.knownNames(of: second).pod(ordinal: 0).name == "\(qualified)-0")
        // The first goes, the controller starts anew: nothing is renamed, and the keys are the same.
        try await writer.withdraw(first)
        let successor = self.writer()
        #expect(try await successor.keys(of: second).keys == made)
        #expect(try await successor.publish(try document(second), for: second) == [])
        #expect(cupboard.object(self.set) == nil)
        // Also where somebody deletes the Secret meanwhile.
        cupboard.remove("\(core)/secrets/\(qualified)-keys")
        _ = try await self.writer().keys(of: second)
        #expect(cupboard.object("\(core)/secrets/\(qualified)-keys") != nil && cupboard.object(self.keys) == nil)
        // Who never knew what they are called removes them all the same.
        try await self.writer().withdraw(second)
        #expect(cupboard.state.withLock { $0.objects.isEmpty })
    }

    @Test func theFirstKeepsItsNamesWhateverBecomesOfItsSecret() async throws {
        let writer = writer()
        let node = try edgeNode()
        _ = try await writer.keys(of: node)
        _ = try await writer.publish(try document(node), for: node)
        cupboard.remove(keys)
        _ = try await self.writer().keys(of: node)
        #expect(cupboard.object(keys) != nil)
        // Somebody took the mark off it: that is told, and nothing is made beside it.
        cupboard.put(keys, ["metadata": ["name": "edge-uplink-keys"], "data": ["priv-0": "x"]])
        let error = await #expect(throws: StoreError.self) { _ = try await self.writer().keys(of: node) }
        #expect(error?.reason == "UplinkNameTaken")
        #expect(cupboard.object("\(core)/secrets/\(qualified)-keys") == nil)
    }

    @Test func whoLosesTheRaceForANameHasItsOwn() async throws {
        let others: FieldValue = [
            "metadata": ["name": "edge-uplink-keys", "annotations": ["tunnel.achetronic.com/edge-node": "team/edge"]]
        ]
        // Made by another between our look and our write.
        cupboard.state.withLock {
            $0.errors["POST \(core)/secrets"] = [.status(APIStatus(code: 409, reason: "AlreadyExists", message: "there"))]
            $0.whenRefused = { $0.put("/api/v1/namespaces/tunnel/secrets/edge-uplink-keys", others) }
        }
        _ = try await writer().keys(of: try edgeNode())
        #expect(cupboard.object("\(core)/secrets/\(qualified)-keys") != nil)
        #expect(cupboard.object(keys)?["data"] == nil)
    }

    /// A name that begins with a digit has `en-` before it in its Service, which another may have called his EdgeNode.
    @Test(arguments: [["en-9x", "9x"], ["9x", "en-9x"]]) func nobodyTakesAnothersService(names: [String]) async throws {
        let writer = writer()
        let first = try edgeNode(names[0], namespace: "mallory")
        _ = try await writer.keys(of: first)
        _ = try await writer.publish(try document(first), for: first)
        let service = cupboard.object("\(core)/services/en-9x-uplink")
        #expect(service?["metadata"]?["annotations"]?["tunnel.achetronic.com/edge-node"]?.text == "mallory/\(names[0])")
        let second = try edgeNode(names[1])
        _ = try await writer.keys(of: second)
        #expect(try await writer.publish(try document(second), for: second) == [])
        #expect(writer.knownNames(of: second).isQualified)
        #expect(cupboard.object("\(core)/services/en-9x-uplink") == service)
    }
}
