import Documents
import JSON
import Testing
import YAML

/// A CustomResourceDefinition of crds/.
struct Definition {
    /// `spec.versions[0].schema.openAPIV3Schema`.
    let schema: FieldValue

    static let edgeNode = "edgenodes"
    static let portBinding = "portbindings"
    static let remoteService = "remoteservices"
    static let all = [edgeNode, portBinding, remoteService]

    /// What Tidegate hands on without reading it; the schema knows its insides, the Swift types do not.
    static let opaque: Set<String> = ["spec.uplink.resources", "spec.uplink.tolerations", "spec.uplink.affinity"]

    init(_ plural: String) throws {
        let document = try #require(readFile("crds/tunnel.achetronic.com_\(plural).yaml").first)
        let version = try #require(document["spec"]?["versions"]?.items.first)
        schema = try #require(version["schema"]?["openAPIV3Schema"])
    }

    /// Every field below `spec` and `status` by its path, `[]` for a list's items. Maps and what is handed on are leaves.
    var fields: [String: FieldValue] {
        var found: [String: FieldValue] = [:]
        for part in ["spec", "status"] {
            guard let below = schema["properties"]?[part] else { continue }
            collect(below, part, &found)
        }
        return found
    }

    private func collect(_ schema: FieldValue, _ path: String, _ found: inout [String: FieldValue]) {
        found[path] = schema
        if Self.opaque.contains(path) { return }
        for (name, below) in schema["properties"]?.entries ?? [:] { collect(below, "\(path).\(name)", &found) }
        if let items = schema["items"] { collect(items, "\(path)[]", &found) }
    }

    /// All schemas in it, those of opaque parts too, each with a path to name it by.
    var everything: [(path: String, schema: FieldValue)] {
        func all(_ schema: FieldValue, _ path: String) -> [(path: String, schema: FieldValue)] {
            var result = [(path, schema)]
            for (name, below) in schema["properties"]?.entries ?? [:] { result += all(below, "\(path).\(name)") }
            if let items = schema["items"] { result += all(items, "\(path)[]") }
            if let values = schema["additionalProperties"] { result += all(values, "\(path){}") }
            return result
        }
        return all(schema, "")
    }
}

/// The documents of a YAML or JSON file, named from the repository's root.
func readFile(_ name: String) throws -> [FieldValue] {
    let root = "\(#filePath)".split(separator: "/").dropLast(3).map { "/\($0)" }.joined()
    let bytes = try fileBytes("\(root)/\(name)")
    if name.hasSuffix(".json") { return [FieldValue(try FieldNode(json: bytes))] }
    let (documents, problem) = readYAML(bytes)
    try #require(problem == nil, "\(name): \(problem.map(String.init(describing:)) ?? "")")
    return documents.map { FieldValue($0) }
}
