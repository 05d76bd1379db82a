import Documents
public import EdgeAPI
import JSON
public import KubernetesAPI

/// Names an object in an Event (core/v1 ObjectReference).
public struct ObjectReference: Hashable, Sendable {
    public var apiVersion: String
    public var kind: String
    /// Its namespace is empty for a kind that has none.
    public var name: ObjectName
    /// Empty when unknown; `kubectl describe` finds events by it.
    public var uid: String

    public init(apiVersion: String, kind: String, name: ObjectName, uid: String) {
        self.apiVersion = apiVersion
        self.kind = kind
        self.name = name
        self.uid = uid
    }

    public init(_ resource: APIResource, _ metadata: ObjectMeta) {
        self.init(
            apiVersion: resource.apiVersion, kind: resource.kind, name: metadata.objectName, uid: metadata.uid)
    }

    var fieldValue: FieldValue {
        var fields: FieldMembers = [
            "apiVersion": .string(apiVersion), "kind": .string(kind), "name": .string(name.name),
        ]
        if !name.namespace.isEmpty { fields["namespace"] = .string(name.namespace) }
        if !uid.isEmpty { fields["uid"] = .string(uid) }
        return .object(fields)
    }
}
