public import NetworkTypes
public import Sodium

/// All that the VPS should be, sent to `edge-agent apply` on standard input.
public struct RelayDocument: Hashable, Codable, Sendable {
    public static let currentFormat = 1

    public var format: Int
    /// The agent build that understands this document; another answers `needsAgent` and does nothing.
    public var agentBuild: String
    public var owner: Owner
    /// Rises with each writer; the agent refuses an older one, and the same one of another `writer`.
    public var epoch: UInt64
    /// One term of one process that writes, unlike any other; nil in a document of a build that did not tell.
    public var writer: String?
    /// Of everything below, SHA-256; equal documents have equal hashes.
    public var hash: SHA256Digest
    public var content: RelayContent
    /// A value not seen before asks for one restart of Envoy; nil for none.
    public var restartEnvoy: String?
    /// Of the uplinks' content that forwards all of these bindings: an uplink that has it in force need not say which it forwards. Nil
    /// while there is none, as before the relay's key is known.
    public var uplinkHash: SHA256Digest?

    public init(
        agentBuild: String, owner: Owner, epoch: UInt64, writer: String? = nil, hash: SHA256Digest, content: RelayContent,
        restartEnvoy: String? = nil, uplinkHash: SHA256Digest? = nil
    ) {
        format = Self.currentFormat
        self.agentBuild = agentBuild
        self.owner = owner
        self.epoch = epoch
        self.writer = writer
        self.hash = hash
        self.content = content
        self.restartEnvoy = restartEnvoy
        self.uplinkHash = uplinkHash
    }
}

/// The part of a `RelayDocument` that the plan decides.
public struct RelayContent: Hashable, Codable, Sendable {
    public var wireGuard: RelayWireGuard
    public var host: HostTuning
    public var envoy: RelayEnvoy
    /// Nil where WireGuard alone carries.
    public var link: RelayLink?

    public init(wireGuard: RelayWireGuard, host: HostTuning, envoy: RelayEnvoy, link: RelayLink? = nil) {
        self.wireGuard = wireGuard
        self.host = host
        self.envoy = envoy
        self.link = link
    }
}

/// `wg-relay`. Its private key is made on the host and never leaves it.
public struct RelayWireGuard: Hashable, Codable, Sendable {
    public static let interface = "wg-relay"

    public var listenPort: Port
    public var address: IPv4Address
    public var network: CIDR
    /// Bytes.
    public var mtu: Int
    public var peers: [RelayPeer]

    public init(listenPort: Port, address: IPv4Address, network: CIDR, mtu: Int, peers: [RelayPeer]) {
        self.listenPort = listenPort
        self.address = address
        self.network = network
        self.mtu = mtu
        self.peers = peers
    }
}

/// An uplink as the relay knows it; the uplink dials, so there is no endpoint.
public struct RelayPeer: Hashable, Codable, Sendable {
    public var ordinal: Int
    public var publicKey: WireGuardPublicKey
    public var address: IPv4Address

    public init(ordinal: Int, publicKey: WireGuardPublicKey, address: IPv4Address) {
        self.ordinal = ordinal
        self.publicKey = publicKey
        self.address = address
    }
}

/// Tuning of the host; see `spec.host` of an EdgeNode.
public struct HostTuning: Hashable, Codable, Sendable {
    /// Bytes; 0 leaves the kernel's values alone.
    public var kernelMaxSocketBufferBytes: Int
    public var disableNicOffloads: Bool

    public init(kernelMaxSocketBufferBytes: Int, disableNicOffloads: Bool) {
        self.kernelMaxSocketBufferBytes = kernelMaxSocketBufferBytes
        self.disableNicOffloads = disableNicOffloads
    }
}
