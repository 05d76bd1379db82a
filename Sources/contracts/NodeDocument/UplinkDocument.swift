public import NetworkTypes
public import Sodium

/// What all uplinks of an EdgeNode share; each picks its own part by its ordinal. Holds no secret.
public struct UplinkDocument: Hashable, Codable, Sendable {
    public static let currentFormat = 1
    /// Of a document whose forwards stand in `lines` beside its content, one `Forward.line` each, and their endpoints in `endpoints` by
    /// binding; its hash is of the content with them.
    public static let packedFormat = 2
    /// The file's name in the ConfigMap and in an uplink's config folder.
    public static let fileName = "document.json"

    public var format: Int
    public var owner: Owner
    /// Of `content`, SHA-256.
    public var hash: SHA256Digest
    public var content: UplinkContent

    public init(owner: Owner, hash: SHA256Digest, content: UplinkContent) {
        format = Self.currentFormat
        self.owner = owner
        self.hash = hash
        self.content = content
    }
}

/// The part of an `UplinkDocument` that the plan decides.
public struct UplinkContent: Hashable, Codable, Sendable {
    public static let interface = "wg-uplink"

    public var relay: UplinkRelay
    public var network: CIDR
    /// Bytes.
    public var mtu: Int
    /// Seconds; 0 for none.
    public var persistentKeepalive: Int
    public var replicas: [UplinkReplica]
    public var forwards: [Forward]
    /// Nil where WireGuard alone carries.
    public var link: UplinkLink?
    /// Where hosts of forwards may not be, and where alone they may be, beyond what no policy allows: the operator's lists. Nil for no list,
    /// and where no forward has a host.
    public var deniedTargets: [CIDR]?
    public var allowedTargets: [CIDR]?

    public init(
        relay: UplinkRelay, network: CIDR, mtu: Int, persistentKeepalive: Int, replicas: [UplinkReplica], forwards: [Forward],
        link: UplinkLink? = nil
    ) {
        self.relay = relay
        self.network = network
        self.mtu = mtu
        self.persistentKeepalive = persistentKeepalive
        self.replicas = replicas
        self.forwards = forwards
        self.link = link
    }

    /// Whether the uplinks are to have a tunnel of WireGuard.
    public var hasWireGuard: Bool { link?.hasWireGuard ?? true }
}

/// The VPS as an uplink dials it.
public struct UplinkRelay: Hashable, Codable, Sendable {
    public var publicKey: WireGuardPublicKey
    public var host: HostAddress
    public var port: Port
    /// In the tunnel.
    public var address: IPv4Address

    public init(publicKey: WireGuardPublicKey, host: HostAddress, port: Port, address: IPv4Address) {
        self.publicKey = publicKey
        self.host = host
        self.port = port
        self.address = address
    }
}

public struct UplinkReplica: Hashable, Codable, Sendable {
    public var ordinal: Int
    public var address: IPv4Address
    public var publicKey: WireGuardPublicKey

    public init(ordinal: Int, address: IPv4Address, publicKey: WireGuardPublicKey) {
        self.ordinal = ordinal
        self.address = address
        self.publicKey = publicKey
    }
}

/// What arrives at an uplink's tunnel address on (protocol, tunnelPort) goes on to the target.
public struct Forward: Hashable, Codable, Sendable {
    /// Endpoints that one may have.
    public static let mostEndpoints = 64

    public var binding: String
    public var `protocol`: TransportProtocol
    public var tunnelPort: Port
    /// The only one, or the first of `endpoints`: an uplink of a former release knows no others.
    public var target: IPv4Address
    public var targetPort: Port
    /// Over which new connections are spread, sorted; nil for the target alone.
    public var endpoints: [Endpoint]?
    /// A name, which the uplink looks up for each connection, or an IPv6 address; then `target` is 0.0.0.0, which an uplink of a former
    /// release refuses. Nil for an IPv4 address.
    public var host: HostAddress?

    public init(
        binding: String, protocol: TransportProtocol, tunnelPort: Port, target: IPv4Address, targetPort: Port,
        endpoints: [Endpoint]? = nil, host: HostAddress? = nil
    ) {
        self.binding = binding
        self.protocol = `protocol`
        self.tunnelPort = tunnelPort
        self.target = target
        self.targetPort = targetPort
        self.endpoints = endpoints
        self.host = host
    }

    /// One that leads to a host by name, or by IPv6.
    public init(binding: String, protocol: TransportProtocol, tunnelPort: Port, host: HostAddress, port: Port) {
        self.init(
            binding: binding, protocol: `protocol`, tunnelPort: tunnelPort, target: IPv4Address(number: 0), targetPort: port,
            host: host)
    }

    /// All addresses that it leads to; empty for a host.
    public var targets: [Endpoint] {
        host == nil ? endpoints ?? [Endpoint(address: target, port: targetPort)] : []
    }
}
