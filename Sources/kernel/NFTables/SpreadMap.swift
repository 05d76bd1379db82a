import CLinuxHeaders
import NetlinkMessages
import NetworkTypes

/// The map `endpoints` of type `inet_proto . inet_service . inet_service : ipv4_addr . inet_service`: what of a binding's new
/// connections goes to which of its targets.
///
/// The last part of a key is a slot: bits 1 to 6 of the source port. The kernel counts a client's TCP ports up by two
/// (`__inet_hash_connect`, net/ipv4/inet_hashtables.c) and draws UDP ports by lot, so connections go round the slots, whichever of the
/// relay's processes opens them. It needs no module beyond those of the map itself, as `numgen` and `jhash` would, and costs the same
/// with 2 and with 64 targets.
enum SpreadMap {
    static let name = "endpoints"
    static let slots: UInt16 = 64
    /// Bytes of a key.
    static let keyLength: UInt32 = 12
    static let keyType: UInt32 = 12 << 12 | 13 << 6 | 13
    /// Of a source port, big-endian.
    static let mask: [UInt8] = [0x00, 0x7E]

    struct Key: Hashable, Comparable, Sendable {
        var forward: ForwardKey
        /// 0 to 63.
        var slot: UInt16

        static func < (a: Self, b: Self) -> Bool { (a.forward, a.slot) < (b.forward, b.slot) }
    }

    static func bytes(_ key: Key) -> [UInt8] { ForwardMap.bytes(key.forward) + ForwardMap.bytes(key.slot << 1) + [0, 0] }

    /// Each target has as many slots as the others, or one less.
    static func elements(_ spreads: Spreads) -> [Key: ForwardTarget] {
        var result: [Key: ForwardTarget] = [:]
        for (forward, targets) in spreads where !targets.isEmpty {
            for slot in 0..<slots { result[Key(forward: forward, slot: slot)] = targets[Int(slot) % targets.count] }
        }
        return result
    }

    /// - Returns: nil for what is no element of ours: somebody else put it there.
    static func element(_ attribute: ParsedAttribute) throws(MalformedNetlink) -> (Key, ForwardTarget)? {
        let parts = try attribute.nested()
        guard let key = try ForwardMap.value(parts[NetlinkAttributeType(NFTA_SET_ELEM_KEY)], length: keyLength),
            let forward = ForwardMap.forward(key), let target = try ForwardMap.target(parts)
        else { return nil }
        let masked = key.dropFirst(8).prefix(2).reduce(UInt16(0)) { $0 << 8 | UInt16($1) }
        guard masked.isMultiple(of: 2), masked >> 1 < slots else { return nil }
        return (Key(forward: forward, slot: masked >> 1), target)
    }
}
