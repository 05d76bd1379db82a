import CLinuxHeaders
public import NetlinkMessages
public import NetworkTypes

/// A flow that conntrack remembers (linux/netfilter/nfnetlink_conntrack.h).
public struct TrackedFlow: Hashable, Sendable {
    /// `IPPROTO_*`.
    public let transport: UInt8
    public let source: IPv4Address
    /// Zero where the transport has no ports, here and below.
    public let sourcePort: UInt16
    /// As the first packet had it, before NAT.
    public let destination: IPv4Address
    public let destinationPort: UInt16
    /// Who answers: the target after DNAT.
    public let replySource: IPv4Address
    public let replySourcePort: UInt16
    /// Tells a flow from a later one with equal addresses.
    let identity: UInt32?

    public init(
        transport: UInt8, source: IPv4Address, sourcePort: UInt16, destination: IPv4Address, destinationPort: UInt16,
        replySource: IPv4Address, replySourcePort: UInt16, identity: UInt32? = nil
    ) {
        self.transport = transport
        self.source = source
        self.sourcePort = sourcePort
        self.destination = destination
        self.destinationPort = destinationPort
        self.replySource = replySource
        self.replySourcePort = replySourcePort
        self.identity = identity
    }
}

extension TrackedFlow {
    /// A dump of every IPv4 flow of the network namespace.
    public static let query = NetlinkMessage(
        type: messageType(IPCTNL_MSG_CT_GET), flags: [], header: NFTablesMessages.header(family: UInt8(AF_INET)),
        description: "IPCTNL_MSG_CT_GET of IPv4 flows")

    /// Forgets this flow; ENOENT says that it is gone already.
    public var deletion: NetlinkMessage {
        NetlinkMessage(
            type: Self.messageType(IPCTNL_MSG_CT_DELETE), flags: [], header: NFTablesMessages.header(family: UInt8(AF_INET)),
            attributes: NetlinkAttributes { attributes in
                attributes.nest(NetlinkAttributeType(CTA_TUPLE_ORIG)) { tuple in
                    tuple.nest(NetlinkAttributeType(CTA_TUPLE_IP)) {
                        $0.put(NetlinkAttributeType(CTA_IP_V4_SRC), bytes: source.bytes)
                        $0.put(NetlinkAttributeType(CTA_IP_V4_DST), bytes: destination.bytes)
                    }
                    tuple.nest(NetlinkAttributeType(CTA_TUPLE_PROTO)) {
                        $0.put(NetlinkAttributeType(CTA_PROTO_NUM), u8: transport)
                        $0.put(NetlinkAttributeType(CTA_PROTO_SRC_PORT), u16BigEndian: sourcePort)
                        $0.put(NetlinkAttributeType(CTA_PROTO_DST_PORT), u16BigEndian: destinationPort)
                    }
                }
                if let identity { attributes.put(NetlinkAttributeType(CTA_ID), u32BigEndian: identity) }
            },
            description: "IPCTNL_MSG_CT_DELETE protocol \(transport) \(source):\(sourcePort) to \(destination):\(destinationPort)"
        )
    }

    /// The answers to `query`; what is no IPv4 flow with both directions is left out.
    public static func flows(in replies: [NetlinkReply]) throws(MalformedNetlink) -> [TrackedFlow] {
        var flows: [TrackedFlow] = []
        for reply in replies where reply.type == messageType(IPCTNL_MSG_CT_NEW) {
            let found = try reply.attributes(after: nfgenmsg.self)
            guard let original = try found[NetlinkAttributeType(CTA_TUPLE_ORIG)].map(Tuple.init(parsing:)) ?? nil,
                let answer = try found[NetlinkAttributeType(CTA_TUPLE_REPLY)].map(Tuple.init(parsing:)) ?? nil
            else { continue }
            flows.append(
                TrackedFlow(
                    transport: original.transport, source: original.source, sourcePort: original.sourcePort,
                    destination: original.destination, destinationPort: original.destinationPort, replySource: answer.source,
                    replySourcePort: answer.sourcePort, identity: try found[NetlinkAttributeType(CTA_ID)]?.u32BigEndian()))
        }
        return flows
    }

    /// The UDP flows to `address` that do not go where they are to go: to another target, or to none any more. UDP has no
    /// end, so such a flow would stick to its old target for as long as datagrams come. TCP connections end by themselves.
    public static func stale(
        _ flows: [TrackedFlow], to address: IPv4Address, forwards: Forwards, spreads: Spreads = [:]
    ) -> [TrackedFlow] {
        flows.filter { flow in
            guard flow.transport == ForwardMap.number(of: .udp), flow.destination == address,
                let port = ForwardMap.port(ForwardMap.bytes(flow.destinationPort))
            else { return false }
            let key = ForwardKey(.udp, port)
            let targets = forwards[key].map { [$0] } ?? spreads[key] ?? []
            return !targets.contains { flow.replySource == $0.address && flow.replySourcePort == $0.port.number }
        }
    }

    private static func messageType(_ type: cntl_msg_types) -> UInt16 {
        UInt16(NFNL_SUBSYS_CTNETLINK) << 8 | UInt16(type.rawValue)
    }

    private struct Tuple {
        var transport: UInt8 = 0
        var source: IPv4Address
        var sourcePort: UInt16 = 0
        var destination: IPv4Address
        var destinationPort: UInt16 = 0

        init?(parsing attribute: ParsedAttribute) throws(MalformedNetlink) {
            let parts = try attribute.nested()
            guard let addresses = try parts[NetlinkAttributeType(CTA_TUPLE_IP)]?.nested(),
                let transport = try parts[NetlinkAttributeType(CTA_TUPLE_PROTO)]?.nested(),
                let number = try transport[NetlinkAttributeType(CTA_PROTO_NUM)]?.u8(),
                let source = addresses[NetlinkAttributeType(CTA_IP_V4_SRC)].flatMap({ IPv4Address(bytes: $0.payload) }),
                let destination = addresses[NetlinkAttributeType(CTA_IP_V4_DST)].flatMap({ IPv4Address(bytes: $0.payload) })
            else { return nil }
            self.transport = number
            self.source = source
            self.destination = destination
            sourcePort = try transport[NetlinkAttributeType(CTA_PROTO_SRC_PORT)]?.u16BigEndian() ?? 0
            destinationPort = try transport[NetlinkAttributeType(CTA_PROTO_DST_PORT)]?.u16BigEndian() ?? 0
        }
    }
}
