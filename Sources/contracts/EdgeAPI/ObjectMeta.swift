/// What names an object: namespace and name.
public struct ObjectName: Hashable, Comparable, Codable, Sendable, CustomStringConvertible {
    public var namespace: String
    public var name: String

    public init(namespace: String, name: String) {
        self.namespace = namespace
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool { (a.namespace, a.name) < (b.namespace, b.name) }
    public var description: String { "\(namespace)/\(name)" }
}

/// The parts of Kubernetes' ObjectMeta that Tidegate reads or writes.
public struct ObjectMeta: Hashable, Sendable {
    public var name: String
    /// `default` where a manifest names none.
    public var namespace: String
    /// Empty in a manifest; a folder of manifests has no server to assign one.
    public var uid: String
    /// Opaque; empty in a manifest.
    public var resourceVersion: String
    /// Rises with each change of the spec; 0 where no server counts.
    public var generation: Int64
    /// RFC 3339 with seconds, as the API server writes it: its text order is its time order. Empty when unknown, which sorts as oldest.
    public var creationTimestamp: String
    /// Nil unless the object is being deleted.
    public var deletionTimestamp: String?
    public var labels: [String: String]
    public var annotations: [String: String]
    public var finalizers: [String]

    public init(
        name: String, namespace: String = "default", uid: String = "", resourceVersion: String = "", generation: Int64 = 0,
        creationTimestamp: String = "", deletionTimestamp: String? = nil, labels: [String: String] = [:],
        annotations: [String: String] = [:], finalizers: [String] = []
    ) {
        self.name = name
        self.namespace = namespace
        self.uid = uid
        self.resourceVersion = resourceVersion
        self.generation = generation
        self.creationTimestamp = creationTimestamp
        self.deletionTimestamp = deletionTimestamp
        self.labels = labels
        self.annotations = annotations
        self.finalizers = finalizers
    }

    public var objectName: ObjectName { ObjectName(namespace: namespace, name: name) }
}

/// Words of the API that are fixed.
public enum APIName {
    public static let group = "tunnel.achetronic.com"
    public static let version = "v1alpha1"
    public static let groupVersion = "tunnel.achetronic.com/v1alpha1"
    public static let finalizer = "tunnel.achetronic.com/finalizer"
    /// One-shot: done once, then removed by the controller.
    public static let restartEnvoyAnnotation = "tunnel.achetronic.com/restart-envoy"
    /// On deletion, leave the VPS as it is.
    public static let skipDeprovisionAnnotation = "tunnel.achetronic.com/skip-deprovision"
    /// On a Secret or Service: the namespaces whose objects may use it, separated by commas, or `*`.
    public static let allowReferencesAnnotation = "tunnel.achetronic.com/allow-references-from"
}
