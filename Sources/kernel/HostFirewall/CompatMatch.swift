import CLinuxHeaders
import NetworkTypes

/// Matches of iptables that `iptables-nft` (ufw too) hands to the kernel as they were; the layouts are those of
/// linux/netfilter/xt_*.h.
enum CompatMatch {
    /// Whether the match named holds for the packet; nil where that cannot be known.
    static func holds(_ name: String, revision: UInt32, _ bytes: [UInt8], for packet: InboundPacket) -> Bool? {
        switch (name, revision) {
        case ("comment", _): true
        case ("tcp", 0): packet.transport == .tcp ? tcp(bytes, packet) : false
        case ("udp", 0): packet.transport == .udp ? udp(bytes, packet) : false
        case ("multiport", 1): multiport(bytes, packet)
        case ("conntrack", 1...3): connection(bytes, revision: revision)
        case ("state", 0): word32(bytes, 0).map { $0 & InboundPacket.newState != 0 }
        case ("addrtype", 1): addressType(bytes)
        default: nil
        }
    }

    /// `struct xt_tcp`: source and destination ports from and to, option, mask and value of the flags, inversions.
    private static func tcp(_ bytes: [UInt8], _ packet: InboundPacket) -> Bool? {
        guard bytes.count >= 12, let ports = ports(bytes, packet, isInverted: bytes[11] & 0x02 != 0) else { return nil }
        // 0x02 is the flag SYN, which alone is set.
        let flags = (0x02 & bytes[9] == bytes[10]) != (bytes[11] & 0x08 != 0)
        return bytes[8] != 0 ? nil : ports && flags
    }

    /// `struct xt_udp`: source and destination ports from and to, inversions.
    private static func udp(_ bytes: [UInt8], _ packet: InboundPacket) -> Bool? {
        bytes.count >= 9 ? ports(bytes, packet, isInverted: bytes[8] & 0x02 != 0) : nil
    }

    private static func ports(_ bytes: [UInt8], _ packet: InboundPacket, isInverted: Bool) -> Bool? {
        guard let from = word16(bytes, 4), let to = word16(bytes, 6), from <= to else { return nil }
        let holds = (from...to).contains(packet.port.number) != isInverted
        if word16(bytes, 0) == 0, word16(bytes, 2) == .max { return holds }
        // Some source ports only.
        return holds ? nil : false
    }

    /// `struct xt_multiport_v1`: which ports, how many, 15 ports, 15 marks of the start of a range, inversion.
    private static func multiport(_ bytes: [UInt8], _ packet: InboundPacket) -> Bool? {
        guard bytes.count >= 48, bytes[0] == 1, bytes[1] <= 15 else { return nil }
        var found = false
        var index = 0
        while index < Int(bytes[1]) {
            guard let from = word16(bytes, 2 + 2 * index) else { return nil }
            var to = from
            if bytes[32 + index] != 0 {
                index += 1
                guard index < Int(bytes[1]), let end = word16(bytes, 2 + 2 * index) else { return nil }
                to = end
            }
            found = found || (from <= packet.port.number && packet.port.number <= to)
            index += 1
        }
        return found != (bytes[47] != 0)
    }

    /// `struct xt_conntrack_mtinfo1` to `3`: what is asked stands after 146 bytes of addresses, times and ports.
    private static func connection(_ bytes: [UInt8], revision: UInt32) -> Bool? {
        guard let asked = word16(bytes, 146), let inverted = word16(bytes, 148) else { return nil }
        // XT_CONNTRACK_STATE and nothing else.
        guard asked == 1 else { return nil }
        let mask = revision == 1 ? bytes.count > 150 ? UInt16(bytes[150]) : nil : word16(bytes, 150)
        return mask.map { (UInt32($0) & InboundPacket.newState != 0) != (inverted & 1 != 0) }
    }

    /// `struct xt_addrtype_info_v1`: bits of the source's and the destination's types, flags. The destination is this host's own.
    private static func addressType(_ bytes: [UInt8]) -> Bool? {
        guard let source = word16(bytes, 0), let destination = word16(bytes, 2), let flags = word32(bytes, 4), source == 0,
            destination != 0, flags & ~UInt32(0x0002) == 0
        else { return nil }
        return (destination & 1 << UInt16(RTN_LOCAL) != 0) != (flags & 0x0002 != 0)
    }

    private static func word16(_ bytes: [UInt8], _ offset: Int) -> UInt16? {
        guard bytes.count >= offset + 2 else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt16.self) }
    }

    private static func word32(_ bytes: [UInt8], _ offset: Int) -> UInt32? {
        guard bytes.count >= offset + 4 else { return nil }
        return bytes.withUnsafeBytes { $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self) }
    }
}
