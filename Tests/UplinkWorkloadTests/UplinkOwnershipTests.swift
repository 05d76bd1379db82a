import Documents
import EdgeAPI
import JSON
import NetworkTypes
import Testing
import UplinkWorkload

@Suite struct UplinkOwnershipTests {
    private func ownership(_ metadata: FieldValue) throws -> UplinkOwnership {
        UplinkOwnership(of: FieldNode(value: ["metadata": metadata]), for: UplinkNames(of: try node()))
    }

    @Test func isToldByTheAnnotation() throws {
        let key = UplinkNames.edgeNodeAnnotation
        #expect(UplinkOwnership(of: nil, for: UplinkNames(of: try node())) == .free)
        #expect(try ownership(["annotations": .object([key: "default/edge"])]) == .ours)
        #expect(try ownership(["annotations": .object([key: "default/other"])]) == .taken(owner: "default/other"))
        #expect(try ownership(["annotations": .object([key: ""])]) == .taken(owner: ""))
        // Labels anyone copies; they prove nothing.
        #expect(try ownership(["labels": ["app.kubernetes.io/managed-by": "tidegate"]]) == .taken(owner: nil))
        #expect(try ownership(["annotations": .null]) == .taken(owner: nil))
        #expect(try ownership([:]) == .taken(owner: nil))
    }

    @Test func theMessageSaysWhoseItIsAndWhatToDo() {
        let name = ObjectName(namespace: "tunnel", name: "edge-uplink")
        let anothers = UplinkWorkloadError.nameTaken(kind: "StatefulSet", name, owner: "b/edge\u{1B}[2J")
        #expect(anothers.reason == "UplinkNameTaken")
        #expect(anothers.description.hasPrefix("StatefulSet tunnel/edge-uplink belongs to EdgeNode b/edge"))
        #expect(!anothers.description.contains("\u{1B}"))
        #expect(anothers.description.contains("another spec.uplink.namespace"))
        #expect(UplinkWorkloadError.nameTaken(kind: "Service", name, owner: nil).description.contains("not made by Tidegate"))
    }
}
