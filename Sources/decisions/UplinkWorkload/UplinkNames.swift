public import EdgeAPI
public import KubernetesAPI
import NetworkTypes
import Sodium

/// What the objects of an EdgeNode's uplinks are called and marked with: by the EdgeNode's name, or where another EdgeNode of that name,
/// in another namespace, was there first, by its name and what tells it from all others. Neither is ever a name of the other kind, so nobody
/// can take another's by what he calls his EdgeNode.
///
/// An EdgeNode's name is a DNS label of at most 45 characters, so all of these are names that the API takes; the tightest is the
/// label `controller-revision-hash`, the StatefulSet's name with `-` and a hash of 10.
public struct UplinkNames: Hashable, Sendable {
    /// The EdgeNode that owns the objects.
    public let edgeNode: ObjectName
    /// Where the objects live.
    public let namespace: String
    /// Whether the names tell the EdgeNode from those of the same name in other namespaces.
    public let isQualified: Bool
    /// What all of them begin with: `N-uplink` or `N-HASH-uplinks`.
    private let base: String

    public init(of node: EdgeNode, isQualified: Bool = false) {
        self.init(node.metadata.objectName, namespace: node.spec.uplink.namespace, isQualified: isQualified)
    }

    private init(_ edgeNode: ObjectName, namespace: String, isQualified: Bool) {
        self.edgeNode = edgeNode
        self.namespace = namespace
        self.isQualified = isQualified
        // 52 characters, as with the longest name of an EdgeNode.
        base =
            isQualified
            ? "\(edgeNode.name.prefix(31))-\(SHA256.digest(of: edgeNode.description).description.prefix(12))-uplinks"
            : "\(edgeNode.name)-uplink"
    }

    /// The same EdgeNode's, of the kind that is nobody else's.
    public var qualified: UplinkNames { UplinkNames(edgeNode, namespace: namespace, isQualified: true) }

    // MARK: Objects

    private func name(_ suffix: String = "") -> ObjectName { ObjectName(namespace: namespace, name: base + suffix) }

    public var statefulSet: ObjectName { name() }
    public var configMap: ObjectName { name("-config") }
    public var keysSecret: ObjectName { name("-keys") }
    public var podDisruptionBudget: ObjectName { name() }

    /// A Service's name begins with a letter (DNS label of RFC 1035), an EdgeNode's may begin with a digit.
    public var service: ObjectName {
        var result = name()
        if edgeNode.name.utf8.first.map({ $0 < UInt8(ascii: "a") }) == true { result.name = "en-" + result.name }
        return result
    }

    /// All of them, in the order in which they go: pods first, what they read last.
    public var all: [(resource: APIResource, name: ObjectName)] {
        [
            (.statefulSets, statefulSet), (.podDisruptionBudgets, podDisruptionBudget), (.services, service),
            (.configMaps, configMap), (.secrets, keysSecret),
        ]
    }

    public func pod(ordinal: Int) -> ObjectName { name("-\(ordinal)") }

    /// The replica that a pod of that name is; nil when it is none of this StatefulSet's.
    public func ordinal(ofPod podName: String) -> Int? {
        let prefix = "\(statefulSet.name)-"
        guard podName.hasPrefix(prefix) else { return nil }
        return decimal(podName.dropFirst(prefix.count))
    }

    // MARK: Marks

    /// The annotation that says who owns an object.
    public static let edgeNodeAnnotation = "\(APIName.group)/edge-node"
    /// On the ConfigMap: the hash of its document. On a pod: the last one it was told of, so that its kubelet looks at once.
    public static let configHashAnnotation = "\(APIName.group)/config-hash"
    /// On a pod: its key, where it was made anew while the pod ran, so that its kubelet looks at once.
    public static let publicKeyAnnotation = "\(APIName.group)/public-key"
    /// Selects the objects of all EdgeNodes.
    public static let managedSelector = "app.kubernetes.io/managed-by=tidegate"

    /// Selects the pods of all EdgeNodes' uplinks.
    public static let podSelector = "app.kubernetes.io/name=uplink,\(managedSelector)"

    /// On everything.
    public var labels: [String: String] { selector.merging(["app.kubernetes.io/managed-by": "tidegate"]) { $1 } }
    /// What finds the pods. Immutable in a StatefulSet: nothing of the user's, nothing that may change.
    public var selector: [String: String] {
        ["app.kubernetes.io/name": "uplink", "app.kubernetes.io/instance": isQualified ? base : edgeNode.name]
    }
    public var annotations: [String: String] { [Self.edgeNodeAnnotation: edgeNode.description] }
}

/// A number as a StatefulSet writes ordinals: no sign, no leading zero.
func decimal(_ digits: Substring) -> Int? {
    guard digits.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let number = Int(digits), "\(number)" == digits else {
        return nil
    }
    return number
}
