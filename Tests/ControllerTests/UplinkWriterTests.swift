import Documents
import EdgeAPI
import Enrollment
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

/// In which order the uplinks' objects are written, when nothing is, and whose are left alone.
@Suite struct UplinkWriterTests {
    private let cupboard = Cupboard()
    private let writer: UplinkWriter
    private let core = "/api/v1/namespaces/tunnel"
    private var config: String { "\(core)/configmaps/edge-uplink-config" }
    private var keys: String { "\(core)/secrets/edge-uplink-keys" }
    private let set = "/apis/apps/v1/namespaces/tunnel/statefulsets/edge-uplink"
    private let budget = "/apis/policy/v1/namespaces/tunnel/poddisruptionbudgets/edge-uplink"

    /// Looked at where the plain names are nobody's.
    private let ownNames = [
        "GET /api/v1/namespaces/tunnel/secrets/\(Self.qualified)-keys",
        "GET /apis/apps/v1/namespaces/tunnel/statefulsets/\(Self.qualified)",
        "GET /api/v1/namespaces/tunnel/services/edge-uplink",
    ]
    /// Of `default/edge`.
    private static let qualified = "edge-\(SHA256.digest(of: "default/edge").description.prefix(12))-uplinks"
    private var qualified: String { Self.qualified }

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
        #expect(try await writer.keys(of: node).keys.keys.sorted() == [0])
        #expect(cupboard.take() == ["GET \(keys)", "GET \(set)"] + ownNames + ["POST \(core)/secrets"])
        #expect(try await writer.publish(try document(node), for: node) == [])
        #expect(
            cupboard.take() == [
                "GET \(config)", "PATCH \(config)", "PATCH \(core)/pods/edge-uplink-0", "GET \(core)/services/edge-uplink",
                "PATCH \(core)/services/edge-uplink",
                "GET \(budget)", "GET \(set)", "PATCH \(set)",
            ], "the document before the pods that read it")
        _ = try await writer.keys(of: node)
        #expect(try await writer.publish(try document(node), for: node) == [])
        #expect(cupboard.take() == [])
    }

    @Test func wakesThePodsWhenTheDocumentChanges() async throws {
        let node = try edgeNode(replicas: 2)
        _ = try await writer.keys(of: node)
        #expect(try await writer.publish(try document(node), for: node) == [])
        _ = cupboard.take()
        #expect(try await writer.publish(try document(node, port: 81), for: node) == [])
        let asked = cupboard.take()
        #expect(asked.first == "PATCH \(config)", "one request, then the pods are told")
        #expect(Set(asked.dropFirst()) == ["PATCH \(core)/pods/edge-uplink-0", "PATCH \(core)/pods/edge-uplink-1"])
    }

    private static let unavailable = APIError.status(APIStatus(code: 503, reason: "ServiceUnavailable", message: "later"))

    /// The fault: the server wrote the ConfigMap, its answer was lost, and no pod was ever told.
    @Test func wakesThePodsAfterALostAnswer() async throws {
        let node = try edgeNode()
        let writer = watchingWriter()
        _ = try await settled(writer, node)
        let next = try document(node, port: 81)
        cupboard.state.withLock { $0.lostAnswers["PATCH \(config)"] = [Self.unavailable] }
        await #expect(throws: StoreError.self) { _ = try await writer.publish(next, for: node) }
        _ = cupboard.take()
        #expect(try await writer.publish(next, for: node) == [])
        #expect(cupboard.take().contains("PATCH \(core)/pods/edge-uplink-0"))
        #expect(try await writer.publish(next, for: node) == [])
        #expect(cupboard.take() == [])
    }

    /// The same where the controller ended between the ConfigMap and the pods.
    @Test func wakesThePodsThatAnotherControllerDidNot() async throws {
        let node = try edgeNode()
        _ = try await settled(watchingWriter(), node)
        let successor = watchingWriter()
        _ = try await successor.keys(of: node)
        _ = try await successor.publish(try document(node), for: node)
        #expect(cupboard.take().contains("PATCH \(core)/pods/edge-uplink-0"))
    }

    @Test func tellsAPodAgainThatCouldNotBeTold() async throws {
        let node = try edgeNode(replicas: 2)
        let writer = watchingWriter()
        _ = try await settled(writer, node)
        let next = try document(node, port: 81)
        cupboard.put("\(core)/pods/edge-uplink-1", ["metadata": ["name": "edge-uplink-1"]])
        cupboard.state.withLock { $0.errors["PATCH \(core)/pods/edge-uplink-1"] = [Self.unavailable] }
        _ = try await writer.publish(next, for: node)
        _ = cupboard.take()
        _ = try await writer.publish(next, for: node)
        #expect(cupboard.take() == ["PATCH \(core)/pods/edge-uplink-1"])
        _ = try await writer.publish(next, for: node)
        #expect(cupboard.take() == [])
    }

    @Test func keepsTheKeyOfAPodThatIsLeaving() async throws {
        let three = try edgeNode(replicas: 3)
        let before = try await writer.keys(of: three).keys
        cupboard.put("\(core)/pods/edge-uplink-2", ["metadata": ["name": "edge-uplink-2"]])
        let one = try edgeNode(replicas: 1)
        let during = try await writer.keys(of: one).keys
        #expect(during == before.filter { $0.key != 1 }, "0 stays, 2 still drains, 1 is gone")
        cupboard.remove("\(core)/pods/edge-uplink-2")
        #expect(try await writer.keys(of: one).keys == before.filter { $0.key == 0 })
        _ = cupboard.take()
        _ = try await writer.keys(of: one)
        #expect(cupboard.take() == [])
    }

    @Test func makesKeysAgainstOthersWhoWriteTheSecret() async throws {
        cupboard.state.withLock {
            $0.errors["POST \(core)/secrets"] = [.status(APIStatus(code: 409, reason: "AlreadyExists", message: "there"))]
        }
        #expect(try await writer.keys(of: try edgeNode()).keys.count == 1)
        #expect(
            cupboard.take() == ["GET \(keys)", "GET \(set)"] + ownNames
                + ["POST \(core)/secrets", "GET \(keys)", "GET \(keys)", "POST \(core)/secrets"])
    }

    @Test func leavesAloneWhatIsAnothers() async throws {
        let node = try edgeNode()
        cupboard.put(
            set,
            ["metadata": ["name": "edge-uplink", "annotations": ["tunnel.achetronic.com/edge-node": "team/edge"]]])
        let error = await #expect(throws: StoreError.self) { _ = try await writer.publish(try document(node), for: node) }
        #expect(error?.reason == "UplinkNameTaken")
        #expect(error?.followUp == .waiting)
        #expect(!cupboard.take().contains("PATCH \(set)"))
        try await writer.withdraw(node)
        #expect(cupboard.object(set) != nil)
    }

    @Test func removesTheBudgetOfOneAndEverythingInTheEnd() async throws {
        let two = try edgeNode(replicas: 2)
        _ = try await writer.keys(of: two)
        _ = try await writer.publish(try document(two), for: two)
        #expect(cupboard.object(budget) != nil)
        let one = try edgeNode(replicas: 1)
        _ = try await writer.publish(try document(one), for: one)
        #expect(cupboard.object(budget) == nil)
        try await writer.withdraw(one)
        #expect(cupboard.state.withLock { $0.objects.isEmpty })
    }

    private let forbidden = APIError.status(APIStatus(code: 403, reason: "Forbidden", message: "not for you"))

    /// Of a namespace that is gone or goes, its Roles go first: what was in it is forbidden, and no obstacle.
    @Test(
        arguments: [
            nil,
            ["metadata": ["name": "tunnel", "deletionTimestamp": "2026-11-21T11:00:00Z"], "status": ["phase": "Terminating"]],
        ] as [FieldValue?])
    func lacksNothingWhereTheNamespaceGoes(namespace: FieldValue?) async throws {
        let node = try edgeNode()
        _ = try await writer.keys(of: node)
        if let namespace { cupboard.put("/api/v1/namespaces/tunnel", namespace) }
        cupboard.state.withLock { $0.errors["GET \(set)"] = [forbidden] }
        _ = cupboard.take()
        try await writer.withdraw(node)
        #expect(cupboard.take() == ["GET \(set)", "GET /api/v1/namespaces/tunnel"])
    }

    @Test(arguments: [true, false]) func whatMayNotBeRemovedKeepsNoOther(mayReadNamespaces: Bool) async throws {
        let node = try edgeNode()
        _ = try await writer.keys(of: node)
        _ = try await writer.publish(try document(node), for: node)
        cupboard.put("/api/v1/namespaces/tunnel", ["metadata": ["name": "tunnel"]])
        cupboard.state.withLock {
            $0.errors["DELETE \(set)"] = [forbidden]
            if !mayReadNamespaces { $0.errors["GET /api/v1/namespaces/tunnel"] = [forbidden] }
        }
        let error = await #expect(throws: StoreError.self) { try await writer.withdraw(node) }
        #expect(error?.reason == "Forbidden")
        #expect(error?.message.contains("cannot remove StatefulSet tunnel/edge-uplink: not for you") == true)
        #expect(cupboard.state.withLock { Set($0.objects.keys) } == [set, "/api/v1/namespaces/tunnel"])
        // The next try takes what is left.
        try await writer.withdraw(node)
        #expect(cupboard.object(set) == nil)
    }

    /// Let go by `skip-deprovision`, removed by hand, and made anew under its name.
    @Test func takesNothingForRightAfterAFailure() async throws {
        let node = try edgeNode()
        _ = try await writer.keys(of: node)
        cupboard.state.withLock { $0.errors["GET \(set)"] = [.unreachable("no route")] }
        await #expect(throws: StoreError.self) { try await writer.withdraw(node) }
        cupboard.remove(keys)
        _ = try await writer.keys(of: node)
        #expect(cupboard.object(keys) != nil)
    }

    /// A server that is away is asked once, not once for each object.
    @Test func asksAServerThatIsAwayOnce() async throws {
        let node = try edgeNode()
        cupboard.state.withLock { $0.errors["GET \(set)"] = [.unreachable("no route")] }
        let error = await #expect(throws: StoreError.self) { try await writer.withdraw(node) }
        #expect(error?.followUp == .retry)
        #expect(cupboard.take() == ["GET \(set)"])
    }

    @Test func saysWhatTheNamespaceLacks() async throws {
        cupboard.state.withLock {
            $0.errors["POST \(core)/secrets"] = [
                .status(APIStatus(code: 404, reason: "NotFound", message: #"namespaces "tunnel" not found"#))
            ]
        }
        let error = await #expect(throws: StoreError.self) { _ = try await writer.keys(of: try edgeNode()) }
        #expect(error?.reason == "NamespaceMissing")
        #expect(error?.followUp == .waiting)
        #expect(error?.message.contains(#"namespaces "tunnel" not found (404 NotFound); create the namespace"#) == true)
    }

    // MARK: what others do to the objects

    /// A writer to which the watches show what is in the cupboard.
    private func watchingWriter() -> UplinkWriter {
        UplinkWriter(
            cupboard.server, UplinkPodSettings(image: "example/uplink:1"),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
        ) { [cupboard] resource, name in
            cupboard.object(resource.path(namespace: name.namespace, name: name.name)).map {
                .present(resourceVersion: $0["metadata"]?["resourceVersion"]?.text ?? "", OwnedObject($0))
            } ?? .absent
        }
    }

    private func settled(_ writer: UplinkWriter, _ node: EdgeNode) async throws -> [Int: UplinkIdentity] {
        let keys = try await writer.keys(of: node).keys
        #expect(try await writer.publish(try document(node), for: node) == [])
        #expect(writer.standing(of: node) == .right)
        _ = cupboard.take()
        return keys
    }

    @Test func putsBackWhatWasDeleted() async throws {
        let node = try edgeNode()
        let writer = watchingWriter()
        let keys = try await settled(writer, node)
        cupboard.remove(set)
        #expect(writer.standing(of: node) == .deviating)
        let repairs = try await writer.publish(try document(node), for: node)
        #expect(repairs == ["StatefulSet tunnel/edge-uplink was deleted by somebody; it was put back"])
        #expect(cupboard.take() == ["GET \(set)", "PATCH \(set)"], "that object, and no other")
        #expect(cupboard.object(set) != nil)
        #expect(writer.standing(of: node) == .right, "our own write is no drift")
        #expect(try await writer.publish(try document(node), for: node) == [])
        #expect(try await writer.keys(of: node).keys == keys)
        #expect(cupboard.take() == [])
    }

    @Test func putsBackWhatWasEdited() async throws {
        let node = try edgeNode()
        let writer = watchingWriter()
        _ = try await settled(writer, node)
        let edited: FieldValue = [
            "metadata": [
                "name": "edge-uplink-config", "annotations": ["tunnel.achetronic.com/edge-node": "default/edge"],
                "managedFields": [["manager": "kubectl-edit", "time": "2026-11-28T10:00:00Z"]],
            ]
        ]
        cupboard.put(config, edited)
        #expect(writer.standing(of: node) == .deviating)
        let repairs = try await writer.publish(try document(node), for: node)
        #expect(repairs == ["ConfigMap tunnel/edge-uplink-config was changed by kubectl-edit; it was put back"])
        #expect(cupboard.take() == ["GET \(config)", "PATCH \(config)", "PATCH \(core)/pods/edge-uplink-0"])
        #expect(writer.standing(of: node) == .right)
    }

    /// The fault: new keys, of which the pods' volumes heard a minute later.
    @Test func givesTheSameKeysBack() async throws {
        let node = try edgeNode(replicas: 2)
        let writer = watchingWriter()
        let before = try await settled(writer, node)
        let secret = cupboard.object(keys)
        cupboard.remove(keys)
        #expect(writer.standing(of: node) == .deviating)
        let after = try await writer.keys(of: node)
        #expect(after.keys == before)
        #expect(after.repairs == ["Secret tunnel/edge-uplink-keys was deleted by somebody; the same keys were put back"])
        #expect(cupboard.object(keys)?["data"]?.texts == secret?["data"]?.texts)
        #expect(writer.standing(of: node) == .right)
        // One entry of two.
        var data = secret?["data"]?.texts ?? [:]
        data["priv-1"] = nil
        cupboard.put(
            keys,
            [
                "metadata": ["name": "edge-uplink-keys", "annotations": ["tunnel.achetronic.com/edge-node": "default/edge"]],
                "data": .texts(data),
            ])
        let again = try await writer.keys(of: node)
        #expect(again.keys == before)
        #expect(again.repairs == ["Secret tunnel/edge-uplink-keys was changed by somebody; the same keys were put back"])
        #expect(!"\(after.repairs)\(again.repairs)".contains(data["priv-0"] ?? "?"))
    }

    /// A controller that has just started cannot know the former ones; the kubelets are told to bring the new ones at once.
    @Test func wakesThePodsWhenTheirKeysHadToBeMadeAnew() async throws {
        var node = try edgeNode(replicas: 2)
        let before = try await writer.keys(of: node).keys
        var status = EdgeNodeStatus()
        status.uplinks = try before.sorted { $0.key < $1.key }.map { ordinal, key in
            UplinkStatus(
                name: "edge-uplink-\(ordinal)", tunnelIP: try IPv4Address(parsing: "10.200.0.2"), publicKey: key.publicKey,
                lastHandshake: nil, ready: true)
        }
        node.status = status
        cupboard.remove(keys)
        _ = cupboard.take()
        let successor = watchingWriter()
        let after = try await successor.keys(of: node)
        #expect(after.keys != before)
        let asked = cupboard.take()
        let looks = ["GET \(keys)", "GET \(set)"] + ownNames + ["POST \(core)/secrets"]
        #expect(Array(asked.prefix(6)) == looks)
        #expect(Set(asked.dropFirst(6)) == ["PATCH \(core)/pods/edge-uplink-0", "PATCH \(core)/pods/edge-uplink-1"])
        _ = try await successor.keys(of: node)
        #expect(cupboard.take() == [])
    }
}
