import CLinuxHeaders
import NFTables
public import NetworkTypes

/// The first packet of a client somewhere on the internet to a port of this host: what a firewall's rules are asked about.
public struct InboundPacket: Hashable, Sendable {
    public enum Family: Hashable, Sendable, CaseIterable { case v4, v6 }

    public var family: Family
    public var transport: TransportProtocol
    public var port: Port

    public init(_ family: Family, _ transport: TransportProtocol, _ port: Port) {
        self.family = family
        self.transport = transport
        self.port = port
    }

    var protocolNumber: UInt8 { transport == .tcp ? UInt8(IPPROTO_TCP) : UInt8(IPPROTO_UDP) }

    /// The families of the tables that it meets (`enum nf_inet_hooks`' `NFPROTO_*`).
    func meets(_ table: UInt8) -> Bool {
        switch UInt32(table) {
        case UInt32(NFPROTO_INET): true
        case UInt32(NFPROTO_IPV4): family == .v4
        case UInt32(NFPROTO_IPV6): family == .v6
        default: false
        }
    }
}

/// What is known of a value that a rule looks at.
enum PacketValue: Hashable, Sendable {
    case known([UInt8])
    /// An address or port of some client: what is listed by name in a rule is not it.
    case somebody
    /// An interface that is not `lo`.
    case wire
    case unknown
}

extension InboundPacket {
    /// `NF_CT_STATE_BIT(IP_CT_NEW)` of linux/netfilter/nf_conntrack_common.h.
    static let newState: UInt32 = 1 << 3

    /// What `meta` loads.
    func meta(_ key: nft_meta_keys) -> PacketValue {
        switch key {
        case NFT_META_L4PROTO: .known([protocolNumber])
        case NFT_META_NFPROTO: .known([UInt8(family == .v4 ? NFPROTO_IPV4 : NFPROTO_IPV6)])
        case NFT_META_PROTOCOL: .known(family == .v4 ? [0x08, 0x00] : [0x86, 0xDD])
        case NFT_META_IIFNAME, NFT_META_IIF: .wire
        case NFT_META_PKTTYPE: .known([0])
        default: .unknown
        }
    }

    /// What `payload` loads.
    func payload(base: nft_payload_bases, offset: UInt32, length: UInt32) -> PacketValue {
        // The kernel's are small; what is not must not overflow.
        let end = min(offset, 1 << 16) + min(length, 1 << 16)
        switch base {
        case NFT_PAYLOAD_TRANSPORT_HEADER:
            // Both protocols begin with the two ports.
            if offset == 2, length == 2 { return .known([UInt8(port.number >> 8), UInt8(truncatingIfNeeded: port.number)]) }
            // With the client's port before it, as nft joins two comparisons.
            return offset == 0 && (length == 2 || length == 4) ? .somebody : .unknown
        case NFT_PAYLOAD_NETWORK_HEADER:
            // RFC 791, section 3.1, and RFC 8200, section 3.
            let source: Range<UInt32> = family == .v4 ? 12..<16 : 8..<24
            // The destination's address follows, and nft joins two comparisons.
            if source.contains(offset), end <= source.upperBound + UInt32(source.count) { return .somebody }
            let next: UInt32 = family == .v4 ? 9 : 6
            return offset == next && length == 1 ? .known([protocolNumber]) : .unknown
        default: return .unknown
        }
    }

    /// What `ct` loads.
    func connection(_ key: nft_ct_keys) -> PacketValue {
        switch key {
        case NFT_CT_STATE: .known(NFTablesExpression.hostOrder(Self.newState))
        case NFT_CT_STATUS: .known([0, 0, 0, 0])
        case NFT_CT_DIRECTION: .known([0])
        default: .unknown
        }
    }
}

extension PacketValue {
    /// `(value & mask) ^ xor`, byte by byte.
    func masked(_ mask: [UInt8], _ xor: [UInt8]) -> PacketValue {
        guard case .known(let bytes) = self else { return self }
        guard bytes.count <= mask.count, bytes.count <= xor.count else { return .unknown }
        return .known(zip(bytes, zip(mask, xor)).map { ($0 & $1.0) ^ $1.1 })
    }

    /// Whether it is the value given; nil where that cannot be known.
    func equals(_ other: [UInt8]) -> Bool? {
        switch self {
        case .known(let bytes): bytes == other
        case .somebody: false
        case .wire: Self.isLoopback(other) ? false : nil
        case .unknown: nil
        }
    }

    /// The name `lo`, whatever it is filled up with, or the number 1 that every network namespace gives it.
    private static func isLoopback(_ bytes: [UInt8]) -> Bool {
        var name = bytes[...]
        while name.last == 0 { name = name.dropLast() }
        return Array(name) == Array("lo".utf8) || bytes == NFTablesExpression.hostOrder(1)
    }
}
