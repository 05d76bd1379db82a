import Documents
import EdgeAPI
import Foundation
import JSON
import KubernetesAPI
import NetworkTypes
import Sodium
import Testing
import UplinkWorkload
import YAML

let settings = UplinkPodSettings(image: "ghcr.io/achetronic/tunnel/uplink:latest")

func node(_ name: String = "edge", _ spec: UplinkSpec = UplinkSpec(), check: HealthCheckSpec = HealthCheckSpec()) throws
    -> EdgeNode
{
    EdgeNode(
        metadata: ObjectMeta(name: name),
        spec: EdgeNodeSpec(
            address: try HostAddress(parsing: "203.0.113.10"), ssh: SSHSpec(secretRef: NamespacedReference(name: "vps-ssh")),
            edge: EdgeSpec(healthCheck: check), uplink: spec))
}

/// The EdgeNode of a file in deploy/samples, under one name.
func sample(_ file: String) throws -> EdgeNode {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../deploy/samples/")
    let (documents, problem) = readYAML(Array(try Data(contentsOf: folder.appending(path: file))))
    #expect(problem == nil)
    let document = try #require(documents.first { $0["kind"]?.text == "EdgeNode" })
    var node = try #require(EdgeNode.decode(document).value)
    node.metadata.name = "edge-node"
    return node
}

/// The documents of a golden; comments in it are for people.
func golden(_ name: String) throws -> [FieldNode] {
    let url = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Goldens/\(name)")
    let (documents, problem) = readYAML(Array(try Data(contentsOf: url)))
    #expect(problem == nil)
    return documents
}

extension UplinkObjects {
    /// All that is applied, with a document that says nothing.
    func applied() throws -> [UplinkObject] {
        [try configMap(document: Array(#"{"format":1}"#.utf8), hash: SHA256.digest(of: "foo"))] + workload()
    }

    func object(_ resource: APIResource) throws -> FieldNode {
        FieldNode(value: try #require(try applied().first { $0.resource == resource }?.value))
    }

    func template() throws -> FieldNode { try #require(try object(.statefulSets)["spec"]?["template"]) }
}

extension FieldNode {
    /// As it would be written.
    var value: FieldValue {
        switch content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .sequence(let items): .array(items.map(\.value))
        case .mapping(let entries): .object(FieldMembers(entries.map { (key: $0.key, value: $0.value.value) }))
        }
    }

    /// What is at `path`; numbers count items.
    func at(_ path: String...) -> FieldNode? {
        path.reduce(self) { node, step in
            guard let index = Int(step), let items = node?.items else { return node?[step] }
            return items.indices.contains(index) ? items[index] : nil
        }
    }
}
