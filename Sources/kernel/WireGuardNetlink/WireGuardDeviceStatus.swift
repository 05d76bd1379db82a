public import NetlinkMessages
public import NetworkTypes
public import Sodium

/// What a WireGuard device is.
public struct WireGuardDeviceStatus: Equatable, Sendable {
    /// nil while the device has no private key.
    public var publicKey: WireGuardPublicKey?
    /// 0 while the device has no socket.
    public var listenPort: UInt16
    /// 0 is none.
    public var firewallMark: UInt32
    public var peers: [WireGuardPeerStatus]

    public init(
        publicKey: WireGuardPublicKey? = nil, listenPort: UInt16 = 0, firewallMark: UInt32 = 0, peers: [WireGuardPeerStatus] = []
    ) {
        self.publicKey = publicKey
        self.listenPort = listenPort
        self.firewallMark = firewallMark
        self.peers = peers
    }
}

/// What one peer of a device is.
public struct WireGuardPeerStatus: Equatable, Sendable {
    public var publicKey: WireGuardPublicKey
    /// nil for none.
    public var presharedKey: SecretBytes?
    /// nil while the peer has neither been given nor heard from.
    public var endpoint: WireGuardEndpoint?
    /// Seconds; 0 is off.
    public var persistentKeepalive: UInt16
    /// Seconds since 1970; nil when there never was one.
    public var lastHandshake: Int64?
    public var receivedBytes: UInt64
    public var sentBytes: UInt64
    public var allowedIPs: [IPPrefix]

    public init(
        publicKey: WireGuardPublicKey, presharedKey: SecretBytes? = nil, endpoint: WireGuardEndpoint? = nil,
        persistentKeepalive: UInt16 = 0, lastHandshake: Int64? = nil, receivedBytes: UInt64 = 0, sentBytes: UInt64 = 0,
        allowedIPs: [IPPrefix] = []
    ) {
        self.publicKey = publicKey
        self.presharedKey = presharedKey
        self.endpoint = endpoint
        self.persistentKeepalive = persistentKeepalive
        self.lastHandshake = lastHandshake
        self.receivedBytes = receivedBytes
        self.sentBytes = sentBytes
        self.allowedIPs = allowedIPs
    }
}
