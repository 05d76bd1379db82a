public import Documents
public import EdgeAPI
import KubernetesAPI
import NetworkTypes

/// Whose an object is that bears a name of ours.
public enum UplinkOwnership: Hashable, Sendable {
    /// There is none.
    case free
    case ours
    /// Another EdgeNode's, or nobody's of Tidegate when `owner` is nil: it is left as it is.
    case taken(owner: String?)

    /// - Parameter existing: the object as the API server has it; nil when there is none.
    public init(of existing: FieldNode?, for names: UplinkNames) {
        guard let existing else {
            self = .free
            return
        }
        let owner = existing["metadata"]?["annotations"]?[UplinkNames.edgeNodeAnnotation]?.text
        self = owner == names.edgeNode.description ? .ours : .taken(owner: owner)
    }
}

/// Why the uplinks of an EdgeNode cannot be what they should be.
public enum UplinkWorkloadError: Error, Hashable, Sendable, CustomStringConvertible {
    /// An object of that kind and name is there and not ours; `owner` is the EdgeNode it belongs to, nil for none.
    case nameTaken(kind: String, ObjectName, owner: String?)
    case documentTooLarge(ObjectName, bytes: Int)
    /// The keys could not be made; `reason` never holds one.
    case keys(ObjectName, reason: String)

    /// CamelCase, for the conditions of the EdgeNode.
    public var reason: String {
        switch self {
        case .nameTaken: "UplinkNameTaken"
        case .documentTooLarge: "UplinkConfigTooLarge"
        case .keys: "UplinkKeysFailed"
        }
    }

    public var description: String {
        switch self {
        case .nameTaken(let kind, let name, let owner?):
            "\(kind) \(name) belongs to EdgeNode \(printable(owner)), so this one's uplinks cannot have it: "
                + "rename this EdgeNode, or make it anew with another spec.uplink.namespace"
        case .nameTaken(let kind, let name, nil):
            "\(kind) \(name) is there already and not made by Tidegate, which leaves it alone: remove it, rename this EdgeNode, "
                + "or make the EdgeNode anew with another spec.uplink.namespace"
        case .documentTooLarge(let name, let bytes):
            "the uplinks' document has \(bytes) bytes, more than the \(UplinkObjects.configMapLimit) that ConfigMap \(name) may "
                + "hold: spread the bindings over more EdgeNodes"
        case .keys(let name, let reason): "the uplinks' keys of Secret \(name): \(reason)"
        }
    }
}
