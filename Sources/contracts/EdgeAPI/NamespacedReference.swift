/// Points at a Secret or a Service; no namespace means that of the object which holds the reference.
public struct NamespacedReference: Hashable, Sendable {
    public var name: String
    public var namespace: String?

    public init(name: String, namespace: String? = nil) {
        self.name = name
        self.namespace = namespace
    }

    public func objectName(in owner: ObjectMeta) -> ObjectName {
        ObjectName(namespace: namespace ?? owner.namespace, name: name)
    }
}
