public import NetlinkMessages
public import NetworkTypes
public import Sodium

/// What a WireGuard device shall be.
public struct WireGuardDeviceConfiguration: Equatable, Sendable {
    public var privateKey: WireGuardPrivateKey
    /// nil: any port; the one the device has stays.
    public var listenPort: Port?
    /// Mark of the outgoing packets; 0 is none.
    public var firewallMark: UInt32
    /// One per public key; peers of the device that are not among them are removed.
    public var peers: [WireGuardPeerConfiguration]

    public init(
        privateKey: WireGuardPrivateKey, listenPort: Port?, firewallMark: UInt32 = 0, peers: [WireGuardPeerConfiguration]
    ) {
        self.privateKey = privateKey
        self.listenPort = listenPort
        self.firewallMark = firewallMark
        self.peers = peers
    }
}

/// What one peer of a device shall be.
public struct WireGuardPeerConfiguration: Equatable, Sendable {
    public var publicKey: WireGuardPublicKey
    /// 32 bytes; nil for none.
    public var presharedKey: SecretBytes?
    /// Where the peer is dialed; nil for one that dials in, whose endpoint is learned and kept.
    public var endpoint: WireGuardEndpoint?
    /// Where one that dials in was last; for a device that does not know.
    public var lastEndpoint: WireGuardEndpoint?
    /// Seconds; 0 is off.
    public var persistentKeepalive: UInt16
    /// No prefix may stand with two peers: the kernel would give it to the last.
    public var allowedIPs: [IPPrefix]

    public init(
        publicKey: WireGuardPublicKey, presharedKey: SecretBytes? = nil, endpoint: WireGuardEndpoint? = nil,
        lastEndpoint: WireGuardEndpoint? = nil, persistentKeepalive: UInt16 = 0, allowedIPs: [IPPrefix]
    ) {
        self.publicKey = publicKey
        self.presharedKey = presharedKey
        self.endpoint = endpoint
        self.lastEndpoint = lastEndpoint
        self.persistentKeepalive = persistentKeepalive
        self.allowedIPs = allowedIPs
    }
}

/// The UDP address of a peer.
public struct WireGuardEndpoint: Hashable, Codable, Sendable, CustomStringConvertible {
    public var address: IPAddress
    public var port: Port

    public init(address: IPAddress, port: Port) {
        self.address = address
        self.port = port
    }

    /// `192.0.2.1:51821` or `[2001:db8::1]:51821`.
    public var description: String { "\(HostAddress.ip(address).bracketed):\(port)" }
}
