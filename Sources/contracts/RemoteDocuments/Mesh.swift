public import NetworkTypes

/// What one end of a mesh is told: a WireGuard network of two, the gateway and the remote, whose packets travel in the links.
public struct MeshTerms: Hashable, Codable, Sendable {
    /// The other end's.
    public var peer: WireGuardPublicKey
    /// The ends' own, /30: the first address is the gateway's, the second the remote's.
    public var network: CIDR
    /// What the remote reaches through the gateway.
    public var clusterCIDRs: [CIDR]
    /// Bytes.
    public var mtu: Int

    public init(peer: WireGuardPublicKey, network: CIDR, clusterCIDRs: [CIDR], mtu: Int) {
        self.peer = peer
        self.network = network
        self.clusterCIDRs = clusterCIDRs
        self.mtu = mtu
    }

    public var gatewayAddress: IPv4Address { IPv4Address(number: network.address.number &+ 1) }
    public var remoteAddress: IPv4Address { IPv4Address(number: network.address.number &+ 2) }

    /// Why it cannot be; nil where it can.
    public var fault: String? {
        if network.prefixLength != MeshBounds.networkLength {
            return "network: want a /\(MeshBounds.networkLength), not \(network)"
        }
        if let obstacle = MeshBounds.obstacle(to: network) { return "network: \(network) \(obstacle)" }
        if !MeshBounds.mtus.contains(mtu) { return "mtu: \(mtu) bytes are out of bounds" }
        if !(1...MeshBounds.mostNetworks).contains(clusterCIDRs.count) {
            return "clusterCIDRs: \(clusterCIDRs.count) are out of bounds"
        }
        for one in clusterCIDRs {
            if let obstacle = MeshBounds.obstacle(to: one) { return "clusterCIDRs: \(one) \(obstacle)" }
        }
        return nil
    }
}

/// How names are resolved in the cluster: the gateway's own resolv.conf (resolv.conf(5)), as far as it says so.
public struct ResolverSettings: Hashable, Codable, Sendable {
    /// As glibc reads at most (MAXNS, MAXDNSRCH of resolv.h were 3 and 6; newer ones have no bound for the latter).
    public static let mostServers = 3
    public static let mostDomains = 32

    public var servers: [IPAddress]
    public var search: [String]
    /// Nil where it says nothing.
    public var dots: Int?

    public init(servers: [IPAddress], search: [String], dots: Int? = nil) {
        self.servers = servers
        self.search = search
        self.dots = dots
    }

    /// Reads a file's text; what it does not know is left out.
    /// - Returns: nil where no server is named.
    public init?(text: String) {
        var result = ResolverSettings(servers: [], search: [])
        for line in text.split(whereSeparator: \.isNewline) {
            let words = line.split(whereSeparator: \.isWhitespace).map(String.init)
            switch words.first {
            case "nameserver": result.servers += words.dropFirst().prefix(1).compactMap { IPAddress($0) }
            // The last counts.
            case "search", "domain": result.search = Array(words.dropFirst())
            case "options":
                let word = words.dropFirst().first { $0.hasPrefix("ndots:") }
                result.dots = word.flatMap { Int($0.dropFirst(6)) } ?? result.dots
            default: break
            }
        }
        guard let checked = result.checked else { return nil }
        self = checked
    }

    /// Without what is no address, domain or number in bounds; nil where no server is left.
    public var checked: ResolverSettings? {
        let servers = servers.prefix(Self.mostServers)
        let search = search.filter { isDNSName($0) }.prefix(Self.mostDomains)
        guard !servers.isEmpty else { return nil }
        return ResolverSettings(
            servers: Array(servers), search: Array(search), dots: dots.flatMap { (0...15).contains($0) ? $0 : nil })
    }

    /// The file's text.
    public var text: String {
        var lines = search.isEmpty ? [] : ["search " + search.joined(separator: " ")]
        lines += servers.map { "nameserver \($0)" }
        if let dots { lines.append("options ndots:\(dots)") }
        return lines.map { $0 + "\n" }.joined()
    }
}
