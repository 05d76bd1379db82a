import LinkProtocol
import LinkStreams
public import NIOCore
public import NetworkTypes
public import Sodium

/// An uplink that may link, as the edge knows it.
public struct RelayUplink: Sendable, Hashable {
    /// By which the uplink is known.
    public let pin: SHA256Digest
    /// Where its tunnel ports are listened at while it is linked: in 127.0.0.0/8, no other uplink's.
    public let address: IPv4Address

    public init(pin: SHA256Digest, address: IPv4Address) {
        self.pin = pin
        self.address = address
    }
}

/// What the edge serves.
public struct RelayService: Sendable, Equatable {
    public var uplinks: [RelayUplink]
    public var tcpPorts: Set<Port>
    public var udpPorts: Set<Port>
    /// How long a session of a UDP port may rest, where it is not `UDPSessions.rest`.
    public var udpRests: [Port: TimeAmount]

    public init(uplinks: [RelayUplink], tcpPorts: Set<Port>, udpPorts: Set<Port>, udpRests: [Port: TimeAmount] = [:]) {
        self.uplinks = uplinks
        self.tcpPorts = tcpPorts
        self.udpPorts = udpPorts
        self.udpRests = udpRests
    }
}

/// What is known of an uplink's links.
public struct RelayStatus: Sendable, Equatable {
    public struct Link: Sendable, Equatable {
        /// Where it comes from, as Envoy says; `sshd` for what came by that, nil for neither.
        public let source: String?
        public let build: String
        /// Which process of the uplink's.
        public let instance: UInt64
        /// Nil before the first ping was answered.
        public let roundTripMicroseconds: Int64?
        public let openStreams: Int
        public let bytesIn: Int
        public let bytesOut: Int
    }

    public let uplink: RelayUplink
    public let links: [Link]
    /// What the uplink said last: whether it takes connections, and its status.
    public let isReady: Bool
    public let word: [UInt8]
    /// Ports that could not be listened at, and why.
    public let refusedPorts: [String]
}

extension RelayStatus.Link {
    init?(_ connection: LinkConnection, _ source: String?) {
        guard let peer = connection.peer else { return nil }
        self.init(
            source: source, build: peer.build, instance: peer.instance,
            roundTripMicroseconds: connection.roundTrip.map { $0.nanoseconds / 1_000 }, openStreams: connection.openStreams,
            bytesIn: connection.bytesIn, bytesOut: connection.bytesOut)
    }
}
