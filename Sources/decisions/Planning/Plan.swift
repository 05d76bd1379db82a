public import EdgeAPI
public import NetworkTypes
public import NodeDocument
public import Sodium

/// What the VPS and the uplinks of one EdgeNode should be, and which bindings cannot be.
public struct Plan: Sendable {
    public var relay: RelayContent
    public var planned: [PlannedBinding]
    public var exclusions: [Exclusion]
    /// What concerns the whole node, such as a network too small; empty when all is well.
    public var nodeProblems: [String]
    /// Why the links' certificate is not the one that the EdgeNode names; nil when it is.
    public var linkProblem: String?
    var uplinkWithoutRelayKey: UplinkContentParts

    /// The uplinks' part. The relay's keys come from the VPS, so they are known only after the first apply.
    /// - Parameters:
    ///   - linkPin: of its key for links; nil leaves links out.
    ///   - sshHostKey: of its sshd, as OpenSSH writes it.
    public func uplinkContent(
        relayPublicKey: WireGuardPublicKey, linkPin: SHA256Digest? = nil, sshHostKey: String? = nil
    ) -> UplinkContent {
        let parts = uplinkWithoutRelayKey
        var content = UplinkContent(
            relay: UplinkRelay(publicKey: relayPublicKey, host: parts.host, port: parts.port, address: parts.relayAddress),
            network: parts.network, mtu: parts.mtu, persistentKeepalive: parts.persistentKeepalive, replicas: parts.replicas,
            forwards: parts.forwards, link: linkPin.flatMap { parts.link($0, sshHostKey) })
        if parts.forwards.contains(where: { $0.host != nil }) {
            content.deniedTargets = parts.targets.denied.isEmpty ? nil : parts.targets.denied
            content.allowedTargets = parts.targets.allowed.isEmpty ? nil : parts.targets.allowed
        }
        return content
    }
}

struct UplinkContentParts: Sendable {
    var host: HostAddress
    var port: Port
    var relayAddress: IPv4Address
    var network: CIDR
    var mtu: Int
    var persistentKeepalive: Int
    var replicas: [UplinkReplica]
    var forwards: [Forward]
    var link: @Sendable (_ pin: SHA256Digest, _ sshHostKey: String?) -> UplinkLink?
    var targets: TargetPolicy
}

/// A binding by its PortBinding and name.
public struct BindingID: Hashable, Comparable, Sendable, CustomStringConvertible {
    public var owner: ObjectName
    public var name: String

    public init(owner: ObjectName, name: String) {
        self.owner = owner
        self.name = name
    }

    public static func < (a: Self, b: Self) -> Bool { (a.owner, a.name) < (b.owner, b.name) }
    public var description: String { "\(name) of PortBinding \(owner)" }
}

/// A binding that is part of the plan.
public struct PlannedBinding: Hashable, Sendable {
    public var id: BindingID
    /// The Envoy listener it is part of, `tcp-443`.
    public var listener: String
    public var listenPort: Port
    public var tunnelPort: Port
    /// One, or the ready endpoints of a Service; empty while it has none, and then its port stays open and reaches nothing; and empty
    /// where it leads to `host`.
    public var targets: [Endpoint]
    /// A name, or an IPv6 address; nil for addresses of IPv4.
    public var host: TargetHost?
    /// Whether `targets` are a Service's endpoints.
    public var isSpread: Bool
    /// The Secret whose private key is copied to the VPS; nil where TLS does not end there.
    public var keySecret: ObjectName?
    /// What is wrong with it although it is served, as its former certificate is; nil for nothing.
    public var problem: String?

    /// For people: `10.96.0.10:53`, `10.244.1.7:8080 and 2 more`, `db.example.com:5432`.
    public var targetText: String {
        if let host { return "\(host)" }
        guard let first = targets.first else { return "no endpoint" }
        return targets.count == 1 ? "\(first)" : "\(first) and \(targets.count - 1) more"
    }

    /// Whether what the VPS has of it is the same: a Service's endpoints are the uplinks' matter.
    public func isSameOnEdge(as other: PlannedBinding) -> Bool {
        var (a, b) = (self, other)
        if isSpread && other.isSpread { (a.targets, b.targets) = ([], []) }
        return a == b
    }
}

/// A target that the uplink dials itself.
public struct TargetHost: Hashable, Sendable, CustomStringConvertible {
    public var host: HostAddress
    public var port: Port

    public var description: String { "\(host.bracketed):\(port)" }
}

/// Why a binding is not part of the plan.
public struct Exclusion: Hashable, Sendable {
    public var binding: BindingID
    /// The binding that has what this one wants; nil when no other binding is concerned.
    public var other: BindingID?
    public var reason: BindingStatus.Reason
    public var message: String
}
