import Documents
import EdgeAPI
import NetworkTypes
import Testing

/// JSON with single quotes, for reading's sake.
func json(_ text: String) throws -> FieldNode {
    try FieldNode(json: Array(text.replacing("'", with: "\"").utf8))
}

extension Decoded {
    /// The problems as `path: message`.
    var lines: [String] { problems.map { $0.path.isEmpty ? $0.message : "\($0.path): \($0.message)" } }
}

func edgeNode(spec: String) throws -> Decoded<EdgeNode> {
    EdgeNode.decode(try json("{'metadata': {'name': 'edge'}, 'spec': \(spec)}"))
}

/// An EdgeNode that is right but for the part given.
func edgeNode(with part: String) throws -> Decoded<EdgeNode> {
    try edgeNode(spec: "{'address': '203.0.113.10', 'ssh': {'secretRef': {'name': 's'}}, \(part)}")
}

func portBinding(bindings: String) throws -> Decoded<PortBinding> {
    PortBinding.decode(
        try json("{'metadata': {'name': 'web'}, 'spec': {'edgeNodeRef': {'name': 'edge'}, 'bindings': \(bindings)}}"))
}

/// A binding that is right but for the parts given.
func binding(
    protocol: String = "TCP", target: String = "{'address': '10.0.0.1', 'port': 80}", with part: String = ""
) throws -> Decoded<PortBinding> {
    let rest = part.isEmpty ? "" : ", \(part)"
    return try portBinding(
        bindings: "[{'name': 'b', 'protocol': '\(`protocol`)', 'listenPort': 443, 'target': \(target)\(rest)}]")
}
