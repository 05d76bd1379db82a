/// What a mesh may be: WireGuard within the links of a remote service, between the gateway in the cluster and the remote outside of it.
public enum MeshBounds {
    /// Of networks that the remote reaches.
    public static let mostNetworks = 16
    /// Prefix length of the network of the two ends: two addresses.
    public static let networkLength = 30
    /// 10.7.0.0/30.
    public static let usualNetwork = CIDR(masking: IPv4Address(number: 0x0A07_0000), prefixLength: networkLength)
    /// Bytes: what IPv4 is sure to carry in one piece (RFC 791, section 3.1), and what the links carry so with room to spare.
    public static let mtus = 576...9000
    /// What networks of clusters carry at most, mostly.
    public static let usualMTU = 1500

    /// Why no route of a mesh leads there; nil where one may. Whoever gave away the whole Internet, his loopback or the addresses where clouds
    /// hand out credentials (RFC 3927) would give away himself.
    public static func obstacle(to network: CIDR) -> String? {
        if network.prefixLength < 8 { return "is too wide: want /8 or narrower" }
        return reserved.first { network.overlaps($0.network) }.map { "is \($0.name)" }
    }

    /// RFC 6890.
    private static let reserved: [(name: String, network: CIDR)] = [
        ("this host's own (0.0.0.0/8)", CIDR(masking: IPv4Address(number: 0), prefixLength: 8)),
        ("the loopback's", CIDR(masking: IPv4Address(number: 0x7F00_0000), prefixLength: 8)),
        ("link-local", CIDR(masking: IPv4Address(number: 0xA9FE_0000), prefixLength: 16)),
        ("multicast or reserved", CIDR(masking: IPv4Address(number: 0xE000_0000), prefixLength: 3)),
    ]
}
