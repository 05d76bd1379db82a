import CLinuxHeaders
public import NetworkTypes

/// What a VPS wants of nf_tables, as one table of its own: `ip tidegate_relay`.
///
/// The backends believe what comes through the tunnel to be Envoy's: a client that mode mutual has checked, an address in a PROXY header.
/// So nobody else of this host sends into it, neither its users nor its containers; and nobody but the uplinks speaks to the relay's own
/// address in it, though Linux takes packets for any of its addresses on any interface.
public struct RelayRuleset: Hashable, Sendable {
    public static let table = "tidegate_relay"

    /// The tunnel's interface.
    public var interface: String
    /// The relay's in the tunnel.
    public var address: IPv4Address
    /// The tunnel's.
    public var network: CIDR
    /// The user that Envoy and the prober run as; beside it, root may send, which the agent is.
    public var envoyUser: UInt32
    /// Nil where there are no links.
    public var links: Links?

    /// Behind the addresses of the link program stand the same backends.
    public struct Links: Hashable, Sendable {
        /// Loopback addresses.
        public var network: CIDR
        /// The user that the link program runs as.
        public var user: UInt32

        public init(network: CIDR, user: UInt32) {
            self.network = network
            self.user = user
        }
    }

    public init(interface: String, address: IPv4Address, network: CIDR, envoyUser: UInt32, links: Links? = nil) {
        self.interface = interface
        self.address = address
        self.network = network
        self.envoyUser = envoyUser
        self.links = links
    }

    /// No rule asks conntrack, which a flood of datagrams would fill.
    public var ruleset: FixedRuleset { FixedRuleset(table: Self.table, chains: chains) }

    private var chains: [Chain] {
        [
            // A packet of no socket, such as the kernel's own RST, has no user: the comparison ends its rule.
            Chain(
                name: "output", type: "filter", hook: NF_INET_LOCAL_OUT.rawValue, priority: 0, policy: NF_ACCEPT,
                rules: [
                    Rule(
                        comment: "into the tunnel by Envoy and root alone",
                        expressions: Self.to(network) + Self.notBy([0, envoyUser]) + [.verdict(.drop)])
                ] + linkRules),
            Chain(
                name: "forward", type: "filter", hook: NF_INET_FORWARD.rawValue, priority: 0, policy: NF_ACCEPT,
                rules: [
                    Rule(
                        comment: "no container or neighbour sends into the tunnel",
                        expressions: NFTablesExpression.interface(NFT_META_OIFNAME, .equal, interface) + [.verdict(.drop)]),
                    Rule(
                        comment: "no uplink sends through this host",
                        expressions: NFTablesExpression.interface(NFT_META_IIFNAME, .equal, interface) + [.verdict(.drop)]),
                ]),
            Chain(
                name: "input", type: "filter", hook: NF_INET_LOCAL_IN.rawValue, priority: 0, policy: NF_ACCEPT,
                rules: [
                    Rule(
                        comment: "the tunnel address is reached through the tunnel only",
                        expressions: NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, interface) + Self.notFromThisHost
                            + [.destination, .compare(.equal, address.bytes), .verdict(.drop)])
                ] + linkGuards),
        ]
    }

    private var linkRules: [Rule] {
        guard let links else { return [] }
        return [
            Rule(
                comment: "into links by Envoy, the link program and root alone",
                expressions: Self.to(links.network) + Self.notBy([0, envoyUser, links.user]) + [.verdict(.drop)])
        ]
    }

    /// With `route_localnet` neighbours and containers reach loopback addresses.
    private var linkGuards: [Rule] {
        guard let links else { return [] }
        return [
            Rule(
                comment: "into links from this host alone",
                expressions: Self.notFromThisHost + Self.to(links.network) + [.verdict(.drop)])
        ]
    }

    private static func notBy(_ users: [UInt32]) -> [NFTablesExpression] {
        users.flatMap { [.meta(NFT_META_SKUID), .compare(.notEqual, NFTablesExpression.hostOrder($0))] }
    }

    private static var notFromThisHost: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, "lo") }

    private static func to(_ network: CIDR) -> [NFTablesExpression] { NFTablesExpression.isFor(network) }
}
