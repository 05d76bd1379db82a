public import NetworkTypes
public import Sodium

/// The edge's half of the links (docs/links.md): who may link, and by which ways.
public struct RelayLink: Hashable, Codable, Sendable {
    /// All ways of this EdgeNode in the order of preference; at least one is a link's.
    public var carriers: [TunnelCarrier]
    /// TCP, on the VPS; Envoy's, which hands links on to the link program.
    public var listenPort: Port
    /// The name by which TLS links ask for it (SNI).
    public var hostname: String
    /// Where WebSockets are taken, with a slash before it.
    public var path: String
    public var uplinks: [LinkedUplink]
    /// The build of the link program; nil where no host is told.
    public var program: String?
    /// What Envoy ends around a link by its port, of mode offload or mutual, for `hostname`; nil where links have no TLS but their own.
    public var outerTLS: RelayTLS?
    /// What the link program hands those uplinks that ask for it (`HandedDocument`), sealed, base64; nil for nothing.
    public var handed: String?

    public init(
        carriers: [TunnelCarrier], listenPort: Port, hostname: String, path: String, uplinks: [LinkedUplink],
        program: String? = nil, outerTLS: RelayTLS? = nil
    ) {
        self.carriers = carriers
        self.listenPort = listenPort
        self.hostname = hostname
        self.path = path
        self.uplinks = uplinks
        self.program = program
        self.outerTLS = outerTLS
    }

    /// Envoy's port for links; nil where none come by it, and while it lacks the certificate that they want.
    public var envoyPort: Port? {
        carriers.contains(where: \.takesLinkPort) && (outerTLS == nil || outerTLS?.material != nil) ? listenPort : nil
    }

    /// The same, with the certificate that `former` has where the writer has none.
    public func withKeptCertificate(of former: RelayLink?) -> RelayLink {
        guard let outerTLS, outerTLS.material == nil else { return self }
        var whole = self
        whole.outerTLS?.material = former?.outerTLS?.material?.fitted(to: outerTLS.mode)
        return whole
    }
    public var takesSSH: Bool { carriers.contains(.ssh) }
    /// Whether the uplinks have a tunnel of WireGuard besides.
    public var hasWireGuard: Bool { carriers.contains(.wireGuard) }
    /// Envoy's priorities: 0 is used while somebody serves there.
    public var linkPriority: Int { carriers.first == .wireGuard ? 1 : 0 }
    public var wireGuardPriority: Int { 1 - linkPriority }
}

/// An uplink as the link program knows it.
public struct LinkedUplink: Hashable, Codable, Sendable {
    public var ordinal: Int
    /// Where the link program listens for it, at the tunnel ports, while it is linked: of `network`.
    public var address: IPv4Address
    /// Of its key.
    public var pin: SHA256Digest
    /// With which it logs in at the host's sshd; nil where links do not come by that.
    public var sshKey: SSHPublicKey?

    public init(ordinal: Int, address: IPv4Address, pin: SHA256Digest, sshKey: SSHPublicKey? = nil) {
        self.ordinal = ordinal
        self.address = address
        self.pin = pin
        self.sshKey = sshKey
    }

    /// The loopback addresses of uplinks, 127.88.0.0/16.
    public static let network = CIDR(masking: IPv4Address(number: 0x7F58_0000), prefixLength: 16)

    /// - Parameter ordinal: below 253.
    public static func address(ofOrdinal ordinal: Int) -> IPv4Address {
        IPv4Address(number: network.address.number + 2 + UInt32(clamping: ordinal))
    }

    /// Where the link program takes links from Envoy, with PROXY v2 before them: TLS, and WebSockets.
    public static let door = IPv4Address(number: network.address.number + 1)
}

/// The uplinks' half.
public struct UplinkLink: Hashable, Codable, Sendable {
    /// All ways of this EdgeNode in the order of preference.
    public var carriers: [TunnelCarrier]
    /// Of the edge's key.
    public var pin: SHA256Digest
    public var host: HostAddress
    public var port: Port
    public var hostname: String
    public var path: String
    /// Where a WebSocket is opened, `ws://` or `wss://`, where that is not the VPS itself; nil for the VPS.
    public var url: String?
    /// Links that each uplink keeps up.
    public var connections: Int
    /// Where `carriers` has SSH; nil where not.
    public var ssh: SSHWay?
    /// What the port of the VPS wants around a link; nil for nothing.
    public var outerTLS: OuterTLS?

    /// TLS for `hostname`, which the VPS's Envoy ends.
    public struct OuterTLS: Hashable, Codable, Sendable {
        /// By which the port tells links from WebSockets, and which links say by their own TLS too (`LinkVersion.protocolName`).
        public static let applicationProtocol = "tidegate-link/1"

        /// PEM: who may have signed its certificate; nil for the system's authorities.
        public var authority: String?

        public init(authority: String?) { self.authority = authority }
    }

    public init(
        carriers: [TunnelCarrier], pin: SHA256Digest, host: HostAddress, port: Port, hostname: String, path: String, url: String?,
        connections: Int, ssh: SSHWay? = nil, outerTLS: OuterTLS? = nil
    ) {
        self.carriers = carriers
        self.pin = pin
        self.host = host
        self.port = port
        self.hostname = hostname
        self.path = path
        self.url = url
        self.connections = connections
        self.ssh = ssh
        self.outerTLS = outerTLS
    }

    public var hasWireGuard: Bool { carriers.contains(.wireGuard) }
}

/// The way of a link through the host's sshd, to a socket there.
public struct SSHWay: Hashable, Codable, Sendable {
    /// Of the user that uplinks log in as.
    public static let user = "tidegate-ssh"
    /// Where the link program takes links from sshd.
    public static let socket = "/var/lib/tidegate-ssh/link/door.sock"

    public var port: Port
    public var user: String
    public var socket: String
    /// The server's, as OpenSSH writes it: type and base64. No other is believed.
    public var hostKey: String

    public init(port: Port, user: String = Self.user, socket: String = Self.socket, hostKey: String) {
        self.port = port
        self.user = user
        self.socket = socket
        self.hostKey = hostKey
    }
}
