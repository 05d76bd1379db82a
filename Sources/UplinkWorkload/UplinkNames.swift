public import EdgeAPI
public import KubernetesAPI
import NetworkTypes

/// What the objects of an EdgeNode's uplinks are called and marked with.
///
/// An EdgeNode's name is a DNS label of at most 45 characters, so all of these are names that the API takes; the tightest is the
/// label `controller-revision-hash`, the StatefulSet's name with `-` and a hash of 10.
public struct UplinkNames: Hashable, Sendable {
    /// The EdgeNode that owns the objects.
    public let edgeNode: ObjectName
    /// Where the objects live.
    public let namespace: String

    public init(of node: EdgeNode) {
        edgeNode = node.metadata.objectName
        namespace = node.spec.uplink.namespace
    }

    // MARK: Objects

    private func name(_ suffix: String) -> ObjectName { ObjectName(namespace: namespace, name: "\(edgeNode.name)-\(suffix)") }

    public var statefulSet: ObjectName { name("uplink") }
    public var configMap: ObjectName { name("uplink-config") }
    public var keysSecret: ObjectName { name("uplink-keys") }
    public var podDisruptionBudget: ObjectName { name("uplink") }

    /// A Service's name begins with a letter (DNS label of RFC 1035), an EdgeNode's may begin with a digit.
    public var service: ObjectName {
        var result = name("uplink")
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

    public func pod(ordinal: Int) -> ObjectName { name("uplink-\(ordinal)") }

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
    /// Selects the objects of all EdgeNodes.
    public static let managedSelector = "app.kubernetes.io/managed-by=tidegate"

    /// On everything.
    public var labels: [String: String] { selector.merging(["app.kubernetes.io/managed-by": "tidegate"]) { $1 } }
    /// What finds the pods. Immutable in a StatefulSet: nothing of the user's, nothing that may change.
    public var selector: [String: String] {
        ["app.kubernetes.io/name": "uplink", "app.kubernetes.io/instance": edgeNode.name]
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
