import Documents
public import EdgeAPI
import JSON

/// What is needed to reach a VPS once more after its manifest is gone.
public struct EnrolledNode: Equatable, Sendable {
    /// As last applied.
    public var edgeNode: EdgeNode
    /// With its SSH credentials; nil when there was none to be found.
    public var secret: Secret?

    public init(edgeNode: EdgeNode, secret: Secret?) {
        self.edgeNode = edgeNode
        self.secret = secret
    }
}

extension StateFolder {
    /// Keeps a node until `removeEnrolled`, over restarts too. Called before the VPS is first touched.
    public func saveEnrolled(_ node: EnrolledNode) throws(StateError) {
        var bytes = Array("{\"edgeNode\":\(node.edgeNode.fieldValue.json)".utf8)
        if let secret = node.secret { bytes += Array(",\"secret\":".utf8) + secret.secretJSON() }
        try write(bytes + Array("}\n".utf8), to: Self.enrolledFile(node.edgeNode.metadata.objectName))
    }

    /// Forgets a node; one that is not known is fine.
    public func removeEnrolled(_ name: ObjectName) throws(StateError) { try remove(Self.enrolledFile(name)) }

    /// All nodes kept, by name.
    public func enrolledNodes() throws(StateError) -> [EnrolledNode] {
        var nodes: [EnrolledNode] = []
        for namespace in try Self.names(in: "\(path)/enrolled") {
            for name in try Self.names(in: "\(path)/enrolled/\(namespace)") where name.hasSuffix(".json") {
                let file = "\(path)/enrolled/\(namespace)/\(name)"
                guard let bytes = try Self.read(file) else { continue }
                nodes.append(try Self.enrolledNode(bytes, file: file))
            }
        }
        return nodes.sorted { $0.edgeNode.metadata.objectName < $1.edgeNode.metadata.objectName }
    }

    private static func enrolledNode(_ bytes: [UInt8], file: String) throws(StateError) -> EnrolledNode {
        func corrupted(_ reason: String) -> StateError {
            StateError(
                .corrupted, file,
                "\(reason). Put the file back; without it, the VPS of this node can only be cleaned up by hand (edge-agent teardown)"
            )
        }
        let root: FieldNode
        // A Secret may be a document's length on its own.
        do throws(SyntaxProblem) { root = try FieldNode(json: bytes, limit: bytes.count) } catch { throw corrupted("\(error)") }
        guard case .mapping(let entries) = root.content, let node = entries.first(where: { $0.key == "edgeNode" })?.value else {
            throw corrupted("it holds no EdgeNode")
        }
        let edgeNode = EdgeNode.decode(node, unknownFields: .ignored)
        guard let value = edgeNode.value else { throw corrupted("\(edgeNode.problems)") }
        guard let secretNode = entries.first(where: { $0.key == "secret" })?.value else {
            return EnrolledNode(edgeNode: value, secret: nil)
        }
        let secret = Secret.decode(secretNode, unknownFields: .ignored)
        guard let secretValue = secret.value else { throw corrupted("\(secret.problems)") }
        return EnrolledNode(edgeNode: value, secret: secretValue)
    }

    private static func enrolledFile(_ name: ObjectName) -> String { "enrolled/\(name.namespace)/\(name.name).json" }
}
