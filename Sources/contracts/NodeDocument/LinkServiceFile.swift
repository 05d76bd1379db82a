public import NetworkTypes

/// What the link program serves: written by the agent, in a folder that the program reads.
public struct LinkServiceFile: Hashable, Codable, Sendable {
    public static let fileName = "link.json"
    /// Beside it, where there is something to hand to uplinks: the sealed bytes.
    public static let handedName = "handed"
    /// 253 uplinks and 20,000 ports, with a number of seconds for each.
    public static let bounds = JSONBounds(bytes: 1 << 20, values: 50_000)

    public var uplinks: [LinkedUplink]
    public var tcpPorts: [Port]
    public var udpPorts: [Port]
    /// For how long a session of each of `udpPorts` may rest, in whole seconds, in their order.
    public var udpSessionSeconds: [Int]
    /// Which of them links come by.
    public var carriers: [TunnelCarrier]
    /// Where WebSockets are taken, a secret.
    public var path: String
    /// Where links come by sshd, a unix socket; nil where they do not.
    public var socket: String?

    public init(
        uplinks: [LinkedUplink], tcpPorts: [Port], udpPorts: [Port], udpSessionSeconds: [Int]? = nil, carriers: [TunnelCarrier],
        path: String, socket: String? = nil
    ) {
        self.udpSessionSeconds = udpSessionSeconds ?? udpPorts.map { _ in 60 }
        self.uplinks = uplinks
        self.tcpPorts = tcpPorts
        self.udpPorts = udpPorts
        self.carriers = carriers
        self.path = path
        self.socket = socket
    }

    /// Of a relay: every binding's tunnel port, and the uplinks' readiness.
    /// - Parameter socket: where links come by sshd, if they do.
    public init(_ link: RelayLink, bindings: [RelayBinding], socket: String = SSHWay.socket) {
        func ports(_ transport: TransportProtocol) -> Set<Port> {
            Set(bindings.filter { $0.protocol == transport }.map(\.tunnelPort))
        }
        let rests = bindings.reduce(into: [Port: Int]()) { rests, binding in
            guard case .udp(let options) = binding.transport else { return }
            // Int64.max nanoseconds are 292 years.
            rests[binding.tunnelPort] = max(1, Int(options.sessionTimeout.nanoseconds / 1_000_000_000))
        }
        let udpPorts = ports(.udp).sorted()
        self.init(
            uplinks: link.uplinks.sorted { $0.ordinal < $1.ordinal }, tcpPorts: ports(.tcp).union([.uplinkReadiness]).sorted(),
            udpPorts: udpPorts, udpSessionSeconds: udpPorts.map { rests[$0] ?? 60 }, carriers: link.carriers.filter(\.isLink),
            path: link.path,
            socket: link.takesSSH ? socket : nil)
    }

    /// Why it cannot be served; nil when it can.
    public var fault: String? {
        let addresses = uplinks.map(\.address)
        if Set(addresses).count < addresses.count { return "two uplinks have one address" }
        if Set(uplinks.map(\.pin)).count < uplinks.count { return "two uplinks have one key" }
        if let stray = addresses.first(where: { !LinkedUplink.network.contains($0) || $0 == LinkedUplink.door }) {
            return "\(stray) is no address of an uplink"
        }
        if !path.hasPrefix("/") || path.utf8.count > 1024 || !path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) {
            return "the path of WebSockets is none"
        }
        if carriers.contains(.ssh), socket?.hasPrefix("/") != true { return "the socket for sshd is none" }
        return carriers.contains(where: \.isLink) ? nil : "no carrier is a link's"
    }
}

/// What the link program tells: written by it, once a second while something changes. The file's time says that it lives.
public struct LinkStatusFile: Hashable, Codable, Sendable {
    public static let fileName = "links.json"
    /// 253 uplinks with 32 links each. It is of a user that anybody's faults may have made somebody else's.
    public static let bounds = JSONBounds(bytes: 8 << 20, values: 250_000, textBytes: 1024)

    public struct Link: Hashable, Codable, Sendable {
        /// Where it comes from, as Envoy says; `sshd` for what came by that.
        public var peer: String?
        /// Of the uplink.
        public var build: String
        /// Nil before the first ping was answered.
        public var roundTripMicroseconds: Int?
        public var streams: Int
        public var receivedBytes: UInt64
        public var sentBytes: UInt64

        public init(
            peer: String?, build: String, roundTripMicroseconds: Int?, streams: Int, receivedBytes: UInt64, sentBytes: UInt64
        ) {
            self.peer = peer
            self.build = build
            self.roundTripMicroseconds = roundTripMicroseconds
            self.streams = streams
            self.receivedBytes = receivedBytes
            self.sentBytes = sentBytes
        }
    }

    public struct Uplink: Hashable, Codable, Sendable {
        public var ordinal: Int
        public var address: IPv4Address
        /// Whether the uplink takes connections, by its own word.
        public var isReady: Bool
        public var links: [Link]
        /// Ports that could not be listened at, and why.
        public var refusedPorts: [String]

        public init(ordinal: Int, address: IPv4Address, isReady: Bool, links: [Link], refusedPorts: [String]) {
            self.ordinal = ordinal
            self.address = address
            self.isReady = isReady
            self.links = links
            self.refusedPorts = refusedPorts
        }
    }

    /// Of the program.
    public var build: String
    public var uplinks: [Uplink]

    public init(build: String, uplinks: [Uplink]) {
        self.build = build
        self.uplinks = uplinks
    }

    /// The links of the uplink with that address, in sum; nil while it has none.
    public func report(at address: IPv4Address) -> LinkReport? {
        guard let links = uplinks.first(where: { $0.address == address })?.links, !links.isEmpty else { return nil }
        return LinkReport(
            count: links.count, roundTripMicroseconds: links.compactMap(\.roundTripMicroseconds).min(),
            streams: links.reduce(0) { $0 &+ max(0, $1.streams) }, receivedBytes: links.reduce(0) { $0 &+ $1.receivedBytes },
            sentBytes: links.reduce(0) { $0 &+ $1.sentBytes })
    }
}
