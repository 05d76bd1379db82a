public import EdgeAPI
import Sodium

/// What the objects of a RemoteService are called and marked with. The Service has its name, all others its name and a word: no two
/// RemoteServices of a namespace can want the same.
public struct RemoteNames: Hashable, Sendable {
    public let remoteService: ObjectName

    public init(of remoteService: ObjectName) { self.remoteService = remoteService }

    private func name(_ suffix: String) -> ObjectName {
        ObjectName(namespace: remoteService.namespace, name: remoteService.name + suffix)
    }

    public var service: ObjectName { remoteService }
    public var deployment: ObjectName { name("-gateway") }
    /// What the gateway reads: keys and document.
    public var gatewaySecret: ObjectName { name("-gateway") }
    /// What the remote is started with.
    public var joinSecret: ObjectName { name("-join") }
    public var ingress: ObjectName { name("-gateway") }
    public var portBinding: ObjectName { name("-gateway") }
    public var certificate: ObjectName { name("-gateway-tls") }

    /// On everything.
    public var labels: [String: String] { selector.merging(["app.kubernetes.io/managed-by": "tidegate"]) { $1 } }
    /// What finds the gateway's pods.
    public var selector: [String: String] {
        ["app.kubernetes.io/name": "tidegate-gateway", "app.kubernetes.io/instance": remoteService.name]
    }
    /// Selects the objects of all RemoteServices.
    public static let managedSelector = "app.kubernetes.io/name=tidegate-gateway,app.kubernetes.io/managed-by=tidegate"
    public static let instanceLabel = "app.kubernetes.io/instance"

    /// The hosts that it may have below a wildcard domain, the first that is nobody else's: `NAME-NAMESPACE`, or where that can be another's
    /// too (`a-b` in `c` and `a` in `b-c`) with a hash behind it. Neither is longer than a DNS label.
    public func hosts(below domain: String) -> [String] {
        let hash = SHA256.digest(of: remoteService.description).description.prefix(8)
        let qualified = "\(plain.prefix(Self.longestLabel - 9))-\(hash).\(domain)"
        return plain.utf8.count <= Self.longestLabel ? [plainHost(below: domain), qualified] : [qualified]
    }

    /// The one that it has where nobody else can want it.
    public func plainHost(below domain: String) -> String { "\(plain).\(domain)" }

    /// RFC 1035, section 2.3.4.
    private static let longestLabel = 63
    private var plain: String { "\(remoteService.name)-\(remoteService.namespace)" }
}
