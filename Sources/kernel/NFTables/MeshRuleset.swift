import CLinuxHeaders
public import NetworkTypes

/// What one end of a mesh wants of nf_tables, as one table of its own: `ip tidegate_mesh`. The mesh is a network of two, the gateway in the
/// cluster and the remote outside of it.
public struct MeshRuleset: Sendable {
    public static let table = "tidegate_mesh"

    public enum End: Sendable {
        /// In a network namespace that is its own.
        /// - `remote`: where all ports but those of `own` lead.
        /// - `networks`: what the remote reaches through it, and nothing else.
        case gateway(remote: IPv4Address, own: [RemotePort.Key], networks: [CIDR])
        /// - `ports`: the only ones that the cluster reaches here; nil for all.
        case remote(ports: [RemotePort.Key]?)
    }

    /// The mesh's.
    public var interface: String
    public var end: End

    public init(interface: String, end: End) {
        self.interface = interface
        self.end = end
    }

    public var ruleset: FixedRuleset { FixedRuleset(table: Self.table, chains: chains) }

    private var chains: [Chain] {
        switch end {
        case .gateway(let remote, let own, let networks):
            [leading(to: remote, own), masquerading(remote), passing(to: networks), entering([])]
        case .remote(let ports): [notPassing, entering(arrivals(ports))]
        }
    }

    // MARK: the gateway

    private func leading(to remote: IPv4Address, _ own: [RemotePort.Key]) -> Chain {
        let fromCluster =
            NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, "lo") + notFromMesh
            + NFTablesExpression.toThisHost
        let kept = own.map { key in
            Rule(
                comment: "the gateway's own",
                expressions: NFTablesExpression.isFor(key.protocol, key.port) + [.verdict(.accept)])
        }
        let led = [("TCP", IPPROTO_TCP), ("UDP", IPPROTO_UDP)].map { name, number in
            Rule(
                comment: "\(name) to the remote",
                expressions: fromCluster + NFTablesExpression.isOf(number) + [
                    .immediate(remote.bytes, into: .first), .destinationNAT(port: nil),
                ])
        }
        return Chain(
            name: "prerouting", type: "nat", hook: NF_INET_PRE_ROUTING.rawValue, priority: Priority.beforeDestinationNAT,
            policy: NF_ACCEPT, rules: kept + led)
    }

    /// Answers come back through this gateway: neither end knows addresses behind the other, nor does the cluster know those of the mesh.
    private func masquerading(_ remote: IPv4Address) -> Chain {
        // The source stands at byte 12 of the IPv4 header (RFC 791, section 3.1).
        let isOfRemote: [NFTablesExpression] = [
            .payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 12, length: 4), .compare(.equal, remote.bytes),
        ]
        return Chain(
            name: "postrouting", type: "nat", hook: NF_INET_POST_ROUTING.rawValue, priority: Priority.sourceNAT,
            policy: NF_ACCEPT,
            rules: [
                Rule(comment: "to the remote", expressions: toMesh + NFTablesExpression.isDestinationNATed + [.masquerade]),
                Rule(comment: "of the remote", expressions: notToMesh + isOfRemote + [.masquerade]),
            ])
    }

    private func passing(to networks: [CIDR]) -> Chain {
        let reached = networks.map { network in
            Rule(
                comment: "the remote to the cluster",
                expressions: fromMesh + NFTablesExpression.isFor(network) + [.verdict(.accept)])
        }
        return Chain(
            name: "forward", type: "filter", hook: NF_INET_FORWARD.rawValue, priority: Priority.mangle, policy: NF_DROP,
            rules: [
                Rule(
                    comment: "MSS of the path", expressions: fromMesh + NFTablesExpression.isSYN + NFTablesExpression.clampMSS),
                Rule(comment: "MSS of the path", expressions: toMesh + NFTablesExpression.isSYN + NFTablesExpression.clampMSS),
                Rule(comment: "answers", expressions: NFTablesExpression.isReply + [.verdict(.accept)]),
                Rule(comment: "never back", expressions: fromMesh + toMesh + [.verdict(.drop)]),
            ] + Rule.neverTargets(fromMesh) + reached + [
                Rule(
                    comment: "the cluster to the remote",
                    expressions: toMesh + NFTablesExpression.isDestinationNATed + [.verdict(.accept)])
            ])
    }

    // MARK: the remote

    /// Nobody reaches through the remote what is behind it, nor through it the cluster.
    private var notPassing: Chain {
        Chain(
            name: "forward", type: "filter", hook: NF_INET_FORWARD.rawValue, priority: Priority.filter, policy: NF_ACCEPT,
            rules: [
                Rule(comment: "nothing behind the remote", expressions: fromMesh + [.verdict(.drop)]),
                Rule(comment: "nobody behind the remote", expressions: toMesh + [.verdict(.drop)]),
            ])
    }

    private func arrivals(_ ports: [RemotePort.Key]?) -> [Rule] {
        guard let ports else { return [Rule(comment: "all ports", expressions: fromMesh + [.verdict(.accept)])] }
        return ports.map { key in
            Rule(
                comment: "one of the ports",
                expressions: fromMesh + NFTablesExpression.isFor(key.protocol, key.port) + [.verdict(.accept)])
        }
    }

    // MARK: both

    private func entering(_ arrivals: [Rule]) -> Chain {
        Chain(
            name: "input", type: "filter", hook: NF_INET_LOCAL_IN.rawValue, priority: Priority.filter, policy: NF_ACCEPT,
            rules: [
                Rule(comment: "answers", expressions: fromMesh + NFTablesExpression.isReply + [.verdict(.accept)]),
                Rule(comment: "ping", expressions: fromMesh + NFTablesExpression.isOf(IPPROTO_ICMP) + [.verdict(.accept)]),
            ] + arrivals + [Rule(comment: "nothing else", expressions: fromMesh + [.verdict(.drop)])])
    }

    private var fromMesh: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .equal, interface) }
    private var notFromMesh: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, interface) }
    private var toMesh: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_OIFNAME, .equal, interface) }
    private var notToMesh: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_OIFNAME, .notEqual, interface) }
}
