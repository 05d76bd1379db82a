public import Documents
public import EdgeAPI
import KubernetesAPI

/// An object as the API server last told of it.
public struct Observed<Object: Sendable>: Sendable {
    public enum Content: Sendable {
        case valid(Object)
        /// It does not decode: what its metadata says all the same, and what is wrong with it.
        case invalid(ObjectMeta, [FieldProblem])
    }

    public let name: ObjectName
    public let uid: String
    public let resourceVersion: String
    public let content: Content

    public init(name: ObjectName, uid: String, resourceVersion: String, content: Content) {
        self.name = name
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.content = content
    }

    /// Nil when it does not decode.
    public var object: Object? { if case .valid(let object) = content { object } else { nil } }
    /// Empty when it decodes.
    public var problems: [FieldProblem] { if case .invalid(_, let problems) = content { problems } else { [] } }

    /// - Returns: nil for something that has no name or resourceVersion, which no API server sends.
    init?(_ node: FieldNode, decode: (FieldNode) -> Decoded<Object>) {
        guard let metadata = node["metadata"], let name = metadata.objectName, let version = metadata["resourceVersion"]?.text
        else { return nil }
        self.name = name
        uid = metadata["uid"]?.text ?? ""
        resourceVersion = version
        let decoded = decode(node)
        content = decoded.value.map { .valid($0) } ?? .invalid(ObjectMeta(lenient: metadata), decoded.problems)
    }
}

/// What happened to an object.
public enum ObjectChange<Object: Sendable>: Sendable {
    case added(Observed<Object>)
    /// Of the same uid; one that was made anew under its old name is told as deleted, then added.
    case updated(from: Observed<Object>, to: Observed<Object>)
    /// As it was last known.
    case deleted(Observed<Object>)

    public var name: ObjectName {
        switch self {
        case .added(let object), .updated(_, let object), .deleted(let object): object.name
        }
    }
}

extension FieldNode {
    /// Of `metadata`; the namespace is empty for kinds without one.
    var objectName: ObjectName? {
        guard let name = self["name"]?.text, !name.isEmpty else { return nil }
        return ObjectName(namespace: self["namespace"]?.text ?? "", name: name)
    }
}

extension ObjectMeta {
    /// What can be read of it; what cannot counts as absent.
    init(lenient node: FieldNode) {
        self.init(
            name: node["name"]?.text ?? "", namespace: node["namespace"]?.text ?? "", uid: node["uid"]?.text ?? "",
            resourceVersion: node["resourceVersion"]?.text ?? "", generation: node["generation"]?.integer ?? 0,
            creationTimestamp: node["creationTimestamp"]?.text ?? "", deletionTimestamp: node["deletionTimestamp"]?.text,
            labels: node["labels"]?.texts ?? [:], annotations: node["annotations"]?.texts ?? [:],
            finalizers: node["finalizers"]?.items?.compactMap(\.text) ?? [])
    }
}

/// Whether `a` is of an earlier time than `b`, both of the same resource. Versions that are no whole numbers tell nothing.
///
/// Comparing them is allowed since Kubernetes 1.35 (KEP-5504), and etcd's revisions were whole numbers before.
public func isOlder(_ a: String, than b: String) -> Bool {
    func isNumber(_ text: String) -> Bool {
        !text.isEmpty && text.utf8.first != 0x30 && text.utf8.allSatisfy { (0x30...0x39).contains($0) }
    }
    guard isNumber(a), isNumber(b) else { return false }
    return (a.utf8.count, a) < (b.utf8.count, b)
}
