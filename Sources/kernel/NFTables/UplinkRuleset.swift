import CLinuxHeaders
public import NetworkTypes

/// Everything an uplink wants of nf_tables, as one table of its own: `ip tidegate`.
///
/// The relay is trusted with nothing it does not need: what comes from the tunnel reaches the targets of `forwards`, the
/// readiness port and ICMP, and nothing else of the host or of the networks behind it.
public struct UplinkRuleset: Hashable, Sendable {
    public static let table = "tidegate"

    /// The tunnel's interface.
    public var interface: String
    /// This uplink's address in the tunnel.
    public var address: IPv4Address
    /// The relay's address in the tunnel, where Envoy's read-only bridge listens.
    public var relay: IPv4Address
    public var bridge: BridgeScope
    /// Forwarding was off on this host before us: nothing but our own flows may use it.
    public var forwardsNothingElse: Bool
    public var forwards: Forwards
    /// Of other keys than `forwards`.
    public var spreads: Spreads

    /// At which addresses of this host :40600 leads to Envoy's read-only bridge on the relay.
    public enum BridgeScope: Hashable, Sendable {
        /// At none; this host itself still reaches it at the relay's tunnel address.
        case off
        /// At these.
        case addresses([IPv4Address])
        /// At all: in a pod, whose addresses are the cluster's own.
        case everyAddress
    }

    public init(
        interface: String, address: IPv4Address, relay: IPv4Address, bridge: BridgeScope, forwardsNothingElse: Bool,
        forwards: Forwards, spreads: Spreads = [:]
    ) {
        self.interface = interface
        self.address = address
        self.relay = relay
        self.bridge = bridge
        self.forwardsNothingElse = forwardsNothingElse
        self.forwards = forwards
        self.spreads = spreads
    }
}

/// A base chain with its rules.
struct Chain: Hashable, Sendable {
    let name: String
    /// `nat` or `filter`.
    let type: String
    /// `NF_INET_*`.
    let hook: UInt32
    /// Lower comes first.
    let priority: Int32
    /// `NF_ACCEPT` or `NF_DROP`: what becomes of a packet that no rule decides.
    let policy: Int32
    let rules: [Rule]
}

/// `enum nf_ip_hook_priorities` of linux/netfilter_ipv4.h.
enum Priority {
    static let mangle: Int32 = -150
    static let beforeDestinationNAT: Int32 = -100 - 1
    static let filter: Int32 = 0
    static let sourceNAT: Int32 = 100
}

struct Rule: Hashable, Sendable {
    /// For people who read `nft list ruleset`.
    let comment: String
    let expressions: [NFTablesExpression]
}

extension Rule {
    /// What came so goes neither to this host's loopback, nor to link-local (where clouds hand out credentials), multicast or reserved
    /// addresses (RFC 6890).
    static func neverTargets(_ condition: [NFTablesExpression]) -> [Rule] {
        let networks: [(String, network: [UInt8], mask: [UInt8])] = [
            ("link-local", [169, 254, 0, 0], [0xFF, 0xFF, 0, 0]), ("loopback", [127, 0, 0, 0], [0xFF, 0, 0, 0]),
            ("multicast, reserved", [224, 0, 0, 0], [0xE0, 0, 0, 0]),
        ]
        return networks.map { name, network, mask in
            Rule(
                comment: "never a target: \(name)",
                expressions: condition + [.destination, .mask(mask), .compare(.equal, network), .verdict(.drop)])
        }
    }
}

extension UplinkRuleset {
    var chains: [Chain] { [answers, prerouting, postrouting, forward, input] }

    /// Targets send UDP with "don't fragment" as Linux does by default, and the tunnel carries less than their network: without this
    /// the first long answer of each would be lost. Before routing, which is where a packet is found too long.
    private var answers: Chain {
        Chain(
            name: "answers", type: "filter", hook: NF_INET_PRE_ROUTING.rawValue, priority: Priority.mangle, policy: NF_ACCEPT,
            rules: [
                Rule(
                    comment: "UDP answers may be fragmented",
                    expressions: notFromTunnel + isUDP + [
                        .connection(NFT_CT_DST_IP, of: .original), .compare(.equal, address.bytes),
                    ] + NFTablesExpression.allowFragments)
            ])
    }

    /// One before `dstnat`: what the relay may not reach is dropped before the NAT of others (Docker's published ports) sees
    /// it. NAT chains see the first packet of a connection only.
    private var prerouting: Chain {
        var rules = [
            Rule(
                comment: "bindings",
                expressions: fromTunnel + toTunnelAddress + [
                    .meta(NFT_META_L4PROTO),
                    .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2, into: .firstFromFourthByte),
                    .lookup(in: ForwardMap.name), .destinationNAT(port: .firstFromFourthByte),
                ]),
            Rule(
                comment: "bindings to endpoints",
                expressions: fromTunnel + toTunnelAddress + [
                    .meta(NFT_META_L4PROTO),
                    .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2, into: .firstFromFourthByte),
                    .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 0, length: 2, into: .firstFromEighthByte),
                    .mask(SpreadMap.mask, in: .firstFromEighthByte),
                    .lookup(in: SpreadMap.name), .destinationNAT(port: .firstFromFourthByte),
                ]),
            Rule(comment: "readiness", expressions: fromTunnel + toTunnelAddress + toReadiness + [.verdict(.accept)]),
            Rule(comment: "ping", expressions: fromTunnel + toTunnelAddress + isICMP + [.verdict(.accept)]),
            Rule(comment: "nothing else of the relay", expressions: fromTunnel + [.verdict(.drop)]),
        ]
        switch bridge {
        case .off: break
        case .everyAddress: rules.append(bridgeRule(NFTablesExpression.toThisHost))
        case .addresses(let addresses): rules += addresses.sorted().map { bridgeRule(isFor($0)) }
        }
        return Chain(
            name: "prerouting", type: "nat", hook: NF_INET_PRE_ROUTING.rawValue, priority: Priority.beforeDestinationNAT,
            policy: NF_ACCEPT, rules: rules)
    }

    /// Replies must come back through this uplink, and the relay's bridge must not see the cluster's addresses.
    private var postrouting: Chain {
        Chain(
            name: "postrouting", type: "nat", hook: NF_INET_POST_ROUTING.rawValue, priority: Priority.sourceNAT,
            policy: NF_ACCEPT,
            rules: [
                Rule(
                    comment: "to the targets",
                    expressions: NFTablesExpression.interface(NFT_META_OIFNAME, .notEqual, interface) + [
                        .connection(NFT_CT_DST_IP, of: .original), .compare(.equal, address.bytes), .masquerade,
                    ]),
                Rule(comment: "to the bridge", expressions: toTunnel + isDestinationNATed + [.masquerade]),
            ])
    }

    private var forward: Chain {
        Chain(
            name: "forward", type: "filter", hook: NF_INET_FORWARD.rawValue, priority: Priority.mangle,
            policy: forwardsNothingElse ? NF_DROP : NF_ACCEPT,
            rules: [
                Rule(comment: "MSS of the path", expressions: fromTunnel + isSYN + NFTablesExpression.clampMSS),
                Rule(comment: "MSS of the path", expressions: toTunnel + isSYN + NFTablesExpression.clampMSS),
            ] + neverTargets + [
                Rule(comment: "bindings", expressions: fromTunnel + isDestinationNATed + [.verdict(.accept)]),
                Rule(comment: "replies and the bridge", expressions: toTunnel + isDestinationNATed + [.verdict(.accept)]),
                Rule(comment: "nothing else of the relay", expressions: fromTunnel + [.verdict(.drop)]),
                Rule(comment: "nothing else to the relay", expressions: toTunnel + [.verdict(.drop)]),
            ])
    }

    /// Whatever the map says, and whoever wrote it: what came through the tunnel does not go back into it.
    private var neverTargets: [Rule] {
        [Rule(comment: "never a target: the tunnel", expressions: fromTunnel + toTunnel + [.verdict(.drop)])]
            + Rule.neverTargets(fromTunnel)
    }

    private var input: Chain {
        Chain(
            name: "input", type: "filter", hook: NF_INET_LOCAL_IN.rawValue, priority: Priority.filter, policy: NF_ACCEPT,
            rules: [
                Rule(
                    comment: "never a target: readiness",
                    expressions: fromTunnel + isDestinationNATed + toReadiness + [.verdict(.drop)]),
                Rule(
                    comment: "never a target: the bridge",
                    expressions: fromTunnel + isDestinationNATed + isTCP(to: .envoyBridge) + [.verdict(.drop)]),
                Rule(comment: "bindings to this host", expressions: fromTunnel + isDestinationNATed + [.verdict(.accept)]),
                Rule(comment: "answers", expressions: fromTunnel + NFTablesExpression.isReply + [.verdict(.accept)]),
                Rule(comment: "readiness", expressions: fromTunnel + toReadiness + [.verdict(.accept)]),
                Rule(comment: "ping", expressions: fromTunnel + isICMP + [.verdict(.accept)]),
                Rule(comment: "nothing else of the relay", expressions: fromTunnel + [.verdict(.drop)]),
                // Linux would take packets for any of its addresses on any interface.
                Rule(
                    comment: "the tunnel address is reached through the tunnel only",
                    expressions: notFromTunnel + notFromThisHost + toTunnelAddress + [.verdict(.drop)]),
            ])
    }

    private func bridgeRule(_ destination: [NFTablesExpression]) -> Rule {
        Rule(
            comment: "Envoy's read-only bridge",
            expressions: notFromTunnel + destination + isTCP(to: .envoyBridge) + [
                .immediate(relay.bytes, into: .first), .immediate(ForwardMap.bytes(.envoyBridge), into: .second),
                .destinationNAT(port: .second),
            ])
    }

    // MARK: Conditions

    private var fromTunnel: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .equal, interface) }
    private var notFromTunnel: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, interface) }
    private var notFromThisHost: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_IIFNAME, .notEqual, "lo") }
    private var toTunnel: [NFTablesExpression] { NFTablesExpression.interface(NFT_META_OIFNAME, .equal, interface) }
    private var toTunnelAddress: [NFTablesExpression] { isFor(address) }
    private var toReadiness: [NFTablesExpression] { isTCP(to: .uplinkReadiness) }
    private var isUDP: [NFTablesExpression] { NFTablesExpression.isOf(IPPROTO_UDP) }
    private var isICMP: [NFTablesExpression] { NFTablesExpression.isOf(IPPROTO_ICMP) }

    private func isFor(_ address: IPv4Address) -> [NFTablesExpression] { [.destination, .compare(.equal, address.bytes)] }

    private func isTCP(to port: Port) -> [NFTablesExpression] { NFTablesExpression.isFor(.tcp, port) }

    private var isSYN: [NFTablesExpression] { NFTablesExpression.isSYN }
    private var isDestinationNATed: [NFTablesExpression] { NFTablesExpression.isDestinationNATed }
}
