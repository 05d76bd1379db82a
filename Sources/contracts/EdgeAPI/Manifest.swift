public import Documents
import NetworkTypes

/// An object that Tidegate reads from a manifest.
public enum Manifest: Sendable, Equatable {
    case edgeNode(EdgeNode)
    case portBinding(PortBinding)
    case remoteService(RemoteService)
    case secret(Secret)
    case service(Service)

    public var kind: String {
        switch self {
        case .edgeNode: EdgeNode.kind
        case .portBinding: PortBinding.kind
        case .remoteService: RemoteService.kind
        case .secret: Secret.kind
        case .service: Service.kind
        }
    }

    public var metadata: ObjectMeta {
        switch self {
        case .edgeNode(let object): object.metadata
        case .portBinding(let object): object.metadata
        case .remoteService(let object): object.metadata
        case .secret(let object): object.metadata
        case .service(let object): object.metadata
        }
    }

    public var name: ObjectName { metadata.objectName }
}

/// A manifest and where it begins in its file.
public struct PlacedManifest: Sendable, Equatable {
    public var manifest: Manifest
    public var position: TextPosition?

    public init(manifest: Manifest, position: TextPosition?) {
        self.manifest = manifest
        self.position = position
    }
}

extension Manifest {
    private static let kinds: [String: String] = [
        EdgeNode.kind: APIName.groupVersion, PortBinding.kind: APIName.groupVersion, RemoteService.kind: APIName.groupVersion,
        Secret.kind: "v1", Service.kind: "v1",
    ]

    /// Reads a document: one object, or a `List` of some; an empty document holds none.
    /// - Parameter foreignKinds: how grave a Kubernetes object is that Tidegate has no use for.
    public static func decode(
        _ document: FieldNode, foreignKinds: FieldProblem.Severity = .warning
    ) -> (manifests: [PlacedManifest], problems: [FieldProblem]) {
        var result = ManifestDecoder(foreignKinds: foreignKinds)
        if document.content != .null { result.decode(document, path: .root, depth: 0) }
        return (result.manifests, result.problems)
    }

    private struct ManifestDecoder {
        let foreignKinds: FieldProblem.Severity
        var manifests: [PlacedManifest] = []
        var problems: [FieldProblem] = []

        mutating func decode(_ node: FieldNode, path: FieldPath, depth: Int) {
            let unknownFields = Self.kind(of: node) == Service.kind ? UnknownFields.ignored : .refused
            let log = ProblemLog(unknownFields: unknownFields)
            decode(Field(document: node, path: path, log: log), depth: depth)
            problems += log.problems
        }

        private static func kind(of node: FieldNode) -> String? {
            guard case .mapping(let entries) = node.content,
                case .string(let kind)? = entries.first(where: { $0.key == "kind" })?.value.content
            else { return nil }
            return kind
        }

        private mutating func decode(_ field: Field, depth: Int) {
            guard case .mapping? = field.node?.content else {
                return field.mismatch("a manifest with apiVersion, kind, metadata and spec")
            }
            let version = field.peek("apiVersion").required("such as \(APIName.groupVersion)").string()
            let kind = field.peek("kind").required("such as EdgeNode").string()
            guard let version, let kind else { return }
            if kind == "List" || kinds.keys.contains(where: { kind == "\($0)List" }) {
                list(field, depth: depth)
            } else if kinds[kind] == version {
                if let manifest = Self.manifest(kind, field), !field.log.hasErrors {
                    manifests.append(PlacedManifest(manifest: manifest, position: field.position))
                }
            } else {
                unknown(kind: kind, version: version, field: field)
            }
        }

        private mutating func list(_ field: Field, depth: Int) {
            guard depth == 0 else { return field.fail("a List inside a List; take its items out") }
            for item in field.peek("items").required("the list's objects").sequence() ?? [] {
                if let node = item.node { decode(node, path: item.path, depth: 1) }
            }
        }

        private static func manifest(_ kind: String, _ field: Field) -> Manifest? {
            switch kind {
            case EdgeNode.kind: return EdgeNode(field).map { .edgeNode($0) }
            case PortBinding.kind: return PortBinding(field).map { .portBinding($0) }
            case RemoteService.kind: return RemoteService(field).map { .remoteService($0) }
            case Secret.kind:
                let hidden = Field(field.node, path: field.path, position: nil, log: field.log, isSecret: true)
                return Secret(hidden).map { .secret($0) }
            default: return Service(field).map { .service($0) }
            }
        }

        private func unknown(kind: String, version: String, field: Field) {
            let kindField = field.peek("kind")
            if let expected = kinds[kind], group(version) == group(expected) {
                field.peek("apiVersion").fail("\(kind) is known as \(expected), given \"\(printable(version))\"")
            } else if group(version) == APIName.group {
                let hint =
                    nearestName(to: kind, among: kinds.keys).map { "did you mean \($0)?" }
                    ?? "the kinds are EdgeNode, PortBinding and RemoteService"
                kindField.fail("unknown kind \"\(printable(kind))\"; \(hint)")
            } else {
                let hint =
                    nearestName(to: kind, among: kinds.keys).map { name in
                        "; if a \(name) is meant, it is \"apiVersion: \(kinds[name] ?? "")\" and \"kind: \(name)\""
                    } ?? ""
                field.log.add(
                    "\(printable(version)) \(printable(kind)) is nothing Tidegate reads; it is passed over\(hint)",
                    path: kindField.path, position: kindField.position, severity: foreignKinds)
            }
        }

        /// Empty for core/v1.
        private func group(_ apiVersion: String) -> Substring {
            apiVersion.contains("/") ? apiVersion.prefix { $0 != "/" } : ""
        }
    }
}
