import EdgeAPI

/// A kind of object as the API server's paths name it.
public struct APIResource: Hashable, Sendable {
    /// Empty for core/v1.
    public var group: String
    public var version: String
    public var kind: String
    /// The word in the path, lower case.
    public var plural: String
    public var isNamespaced: Bool

    public init(group: String, version: String, kind: String, plural: String, isNamespaced: Bool = true) {
        self.group = group
        self.version = version
        self.kind = kind
        self.plural = plural
        self.isNamespaced = isNamespaced
    }

    /// `group/version`, or `v1` for the core group.
    public var apiVersion: String { group.isEmpty ? version : "\(group)/\(version)" }

    /// The path of the collection, of one object, or of a part of one.
    /// - Parameters:
    ///   - namespace: nil for all namespaces, and for kinds that have none.
    ///   - subresource: such as `status`; only with a name.
    public func path(namespace: String?, name: String? = nil, subresource: String? = nil) -> String {
        var path = group.isEmpty ? "/api/\(version)" : "/apis/\(group)/\(version)"
        if let namespace, isNamespaced { path += "/namespaces/\(percentEncoded(namespace))" }
        path += "/\(plural)"
        if let name { path += "/\(percentEncoded(name))" }
        if let subresource { path += "/\(subresource)" }
        return path
    }
}

extension APIResource {
    public static let edgeNodes = APIResource(
        group: APIName.group, version: APIName.version, kind: EdgeNode.kind, plural: "edgenodes")
    public static let portBindings = APIResource(
        group: APIName.group, version: APIName.version, kind: PortBinding.kind, plural: "portbindings")
    public static let secrets = APIResource(group: "", version: "v1", kind: "Secret", plural: "secrets")
    public static let services = APIResource(group: "", version: "v1", kind: "Service", plural: "services")
    public static let endpointSlices = APIResource(
        group: "discovery.k8s.io", version: "v1", kind: EndpointSlice.kind, plural: "endpointslices")
    public static let configMaps = APIResource(group: "", version: "v1", kind: "ConfigMap", plural: "configmaps")
    public static let pods = APIResource(group: "", version: "v1", kind: "Pod", plural: "pods")
    public static let namespaces = APIResource(
        group: "", version: "v1", kind: "Namespace", plural: "namespaces", isNamespaced: false)
    public static let statefulSets = APIResource(group: "apps", version: "v1", kind: "StatefulSet", plural: "statefulsets")
    public static let podDisruptionBudgets = APIResource(
        group: "policy", version: "v1", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets")
    public static let leases = APIResource(group: "coordination.k8s.io", version: "v1", kind: "Lease", plural: "leases")
    public static let events = APIResource(group: "events.k8s.io", version: "v1", kind: "Event", plural: "events")
    /// Of the Gateway API; clusters without it have none.
    public static let referenceGrants = APIResource(
        group: "gateway.networking.k8s.io", version: "v1beta1", kind: "ReferenceGrant", plural: "referencegrants")
    public static let tokenReviews = APIResource(
        group: "authentication.k8s.io", version: "v1", kind: "TokenReview", plural: "tokenreviews", isNamespaced: false)
    public static let subjectAccessReviews = APIResource(
        group: "authorization.k8s.io", version: "v1", kind: "SubjectAccessReview", plural: "subjectaccessreviews",
        isNamespaced: false)
}

/// Percent-encodes all but RFC 3986's unreserved characters.
func percentEncoded(_ text: String) -> String {
    var result = ""
    for byte in text.utf8 {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"),
            UInt8(ascii: "-"), UInt8(ascii: "."), UInt8(ascii: "_"), UInt8(ascii: "~"):
            result.unicodeScalars.append(Unicode.Scalar(byte))
        default:
            let hex = String(byte, radix: 16, uppercase: true)
            result += hex.utf8.count == 1 ? "%0\(hex)" : "%\(hex)"
        }
    }
    return result
}
