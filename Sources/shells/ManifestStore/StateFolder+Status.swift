import Documents
public import EdgeAPI
import JSON
import YAML

/// The statuses a controller last wrote, as `tidegate status` shows them.
public struct WrittenStatuses: Sendable {
    public var edgeNodes: [(name: ObjectName, status: EdgeNodeStatus)] = []
    public var portBindings: [(name: ObjectName, status: PortBindingStatus)] = []
}

extension StateFolder {
    /// Writes `status/<namespace>/edgenode-<name>.yaml`, as `kubectl get -o yaml` would show it.
    public func writeStatus(_ status: EdgeNodeStatus, of name: ObjectName) throws(StateError) {
        try writeStatus(status.fieldValue, kind: EdgeNode.kind, of: name)
    }

    /// Writes `status/<namespace>/portbinding-<name>.yaml`.
    public func writeStatus(_ status: PortBindingStatus, of name: ObjectName) throws(StateError) {
        try writeStatus(status.fieldValue, kind: PortBinding.kind, of: name)
    }

    public func removeEdgeNodeStatus(of name: ObjectName) throws(StateError) {
        try remove(Self.statusFile(EdgeNode.kind, name))
    }

    public func removePortBindingStatus(of name: ObjectName) throws(StateError) {
        try remove(Self.statusFile(PortBinding.kind, name))
    }

    private func writeStatus(_ status: FieldValue, kind: String, of name: ObjectName) throws(StateError) {
        let value = FieldValue.object([
            "apiVersion": .string(APIName.groupVersion),
            "kind": .string(kind),
            "metadata": .object(["name": .string(name.name), "namespace": .string(name.namespace)]),
            "status": status,
        ])
        try write(Array(value.yaml.utf8), to: Self.statusFile(kind, name))
    }

    private static func statusFile(_ kind: String, _ name: ObjectName) -> String {
        "status/\(name.namespace)/\(kind.lowercased())-\(name.name).yaml"
    }

    /// Reads the statuses in the state folder at `path`, beside the controller that holds it.
    public static func readStatuses(at path: String) throws(StateError) -> WrittenStatuses {
        var result = WrittenStatuses()
        for namespace in try names(in: "\(path)/status") {
            for name in try names(in: "\(path)/status/\(namespace)") where name.hasSuffix(".yaml") {
                let file = "\(path)/status/\(namespace)/\(name)"
                guard let bytes = try read(file) else { continue }
                let (documents, problem) = readYAML(bytes)
                guard let document = documents.first, problem == nil, let status = WrittenStatus.decode(document) else {
                    throw StateError(.corrupted, file, "holds no status; delete it, the controller writes it anew")
                }
                switch status {
                case .edgeNode(let name, let status): result.edgeNodes.append((name, status))
                case .portBinding(let name, let status): result.portBindings.append((name, status))
                }
            }
        }
        return result
    }
}
