import CLinuxHeaders
import NetlinkMessages

/// The small machine that nf_tables runs for each packet, as far as what it loads is known.
struct RuleMachine {
    enum Step: Hashable {
        case goesOn
        /// The rule does not match.
        case fails
        /// It cannot be known here whether it matches.
        case mayFail
        case ends(RuleVerdict)
    }

    let packet: InboundPacket
    let sets: [String: HostRuleset.NamedSet]
    /// By their place in units of four bytes.
    private var registers: [UInt32: PacketValue] = [:]

    init(packet: InboundPacket, sets: [String: HostRuleset.NamedSet]) {
        self.packet = packet
        self.sets = sets
    }

    mutating func run(_ expression: HostRuleset.Expression) throws(MalformedNetlink) -> Step {
        // Expressions without data of their own count or note, and let through.
        guard let data = expression.data else {
            return ["limit", "quota", "match"].contains(expression.name) ? .mayFail : .goesOn
        }
        func number<Enumerator: RawRepresentable<UInt32>>(_ type: Enumerator) throws(MalformedNetlink) -> UInt32? {
            try data[NetlinkAttributeType(type)]?.u32BigEndian()
        }
        switch expression.name {
        case "counter", "log", "last", "notrack", "dynset", "objref": return .goesOn
        case "meta":
            guard let register = try number(NFTA_META_DREG) else { return .goesOn }
            registers[Self.place(register)] = packet.meta(try number(NFTA_META_KEY) ?? .max)
        case "ct":
            guard let register = try number(NFTA_CT_DREG) else { return .goesOn }
            registers[Self.place(register)] = packet.connection(try number(NFTA_CT_KEY) ?? .max)
        case "payload":
            guard let register = try number(NFTA_PAYLOAD_DREG) else { return .goesOn }
            registers[Self.place(register)] = packet.payload(
                base: try number(NFTA_PAYLOAD_BASE) ?? .max, offset: min(try number(NFTA_PAYLOAD_OFFSET) ?? 0, 1 << 16),
                length: min(try number(NFTA_PAYLOAD_LEN) ?? 0, 1 << 16))
        case "fib":
            // The destination is this host's own; anything else asked of the routes is unknown.
            let result = try number(NFTA_FIB_RESULT), flags = try number(NFTA_FIB_FLAGS)
            let isLocal = result == NFT_FIB_RESULT_ADDRTYPE.rawValue && flags == NFTA_FIB_F_DADDR.rawValue
            registers[Self.place(try number(NFTA_FIB_DREG) ?? 0)] =
                isLocal ? .known(NFTablesExpression.hostOrder(UInt32(RTN_LOCAL))) : .unknown
        case "bitwise": try bitwise(data)
        case "cmp":
            let value = value(try number(NFTA_CMP_SREG))
            return Self.step(Self.compare(value, try number(NFTA_CMP_OP), try Self.bytes(data, NFTA_CMP_DATA)))
        case "range":
            let value = value(try number(NFTA_RANGE_SREG))
            return Self.step(
                Self.range(
                    value, isInverted: try number(NFTA_RANGE_OP) == NFT_RANGE_NEQ.rawValue,
                    from: try Self.bytes(data, NFTA_RANGE_FROM_DATA), to: try Self.bytes(data, NFTA_RANGE_TO_DATA)))
        case "lookup": return try lookUp(data)
        case "immediate":
            guard let nest = try data[NetlinkAttributeType(NFTA_IMMEDIATE_DATA)]?.nested() else { return .mayFail }
            if let verdict = try RuleVerdict(nest) { return .ends(verdict) }
        case "reject": return .ends(.drop)
        case "queue": return .ends(.unclear)
        case "match":
            return Self.step(
                CompatMatch.holds(
                    data[CompatMatch.name]?.string ?? "", revision: try data[CompatMatch.revision]?.u32BigEndian() ?? 0,
                    data[CompatMatch.information].map { Array($0.payload) } ?? [], for: packet))
        case "target":
            switch data[CompatMatch.name]?.string {
            case "REJECT", "TARPIT": return .ends(.drop)
            case "LOG", "NFLOG", "MARK", "CONNMARK", "SET", "AUDIT", "TRACE": return .goesOn
            default: return .ends(.unclear)
            }
        default: return .mayFail
        }
        return .goesOn
    }

    // MARK: Parts

    /// Registers have two names each: of sixteen bytes (1 to 4), and of four (from 8 on).
    private static func place(_ register: UInt32) -> UInt32 { register <= 4 ? register * 4 : register &- 4 }

    private func value(_ register: UInt32?) -> PacketValue { register.flatMap { registers[Self.place($0)] } ?? .unknown }

    private static func step(_ holds: Bool?) -> Step { holds.map { $0 ? .goesOn : .fails } ?? .mayFail }

    private static func bytes<Enumerator: RawRepresentable<UInt32>>(
        _ data: ParsedAttributes, _ type: Enumerator
    ) throws(MalformedNetlink) -> [UInt8] {
        try data[NetlinkAttributeType(type)]?.nested()[NetlinkAttributeType(NFTA_DATA_VALUE)].map { Array($0.payload) } ?? []
    }

    private mutating func bitwise(_ data: ParsedAttributes) throws(MalformedNetlink) {
        let source = try data[NetlinkAttributeType(NFTA_BITWISE_SREG)]?.u32BigEndian()
        let target = Self.place(try data[NetlinkAttributeType(NFTA_BITWISE_DREG)]?.u32BigEndian() ?? 0)
        // Zero is `(value & mask) ^ xor`; older kernels know nothing else and leave it out.
        let isPlain = try data[NetlinkAttributeType(NFTA_BITWISE_OP)]?.u32BigEndian() ?? 0 == 0
        let mask = try Self.bytes(data, NFTA_BITWISE_MASK), xor = try Self.bytes(data, NFTA_BITWISE_XOR)
        registers[target] = isPlain ? value(source).masked(mask, xor) : .unknown
    }

    private static func compare(_ value: PacketValue, _ operation: UInt32?, _ other: [UInt8]) -> Bool? {
        switch operation {
        case NFT_CMP_EQ.rawValue: return value.equals(other)
        case NFT_CMP_NEQ.rawValue: return value.equals(other).map { !$0 }
        default:
            guard case .known(let bytes) = value, bytes.count == other.count else { return nil }
            let isLess = bytes.lexicographicallyPrecedes(other)
            switch operation {
            case NFT_CMP_LT.rawValue: return isLess
            case NFT_CMP_LTE.rawValue: return isLess || bytes == other
            case NFT_CMP_GT.rawValue: return !isLess && bytes != other
            case NFT_CMP_GTE.rawValue: return !isLess
            default: return nil
            }
        }
    }

    private static func range(_ value: PacketValue, isInverted: Bool, from: [UInt8], to: [UInt8]) -> Bool? {
        switch value {
        case .known(let bytes):
            guard bytes.count == from.count, bytes.count == to.count else { return nil }
            let isInside = !bytes.lexicographicallyPrecedes(from) && !to.lexicographicallyPrecedes(bytes)
            return isInside != isInverted
        case .somebody: return isInverted
        case .wire, .unknown: return nil
        }
    }

    private mutating func lookUp(_ data: ParsedAttributes) throws(MalformedNetlink) -> Step {
        let value = value(try data[NetlinkAttributeType(NFTA_LOOKUP_SREG)]?.u32BigEndian())
        let isInverted = try data[NetlinkAttributeType(NFTA_LOOKUP_FLAGS)]?.u32BigEndian() ?? 0 & NFT_LOOKUP_F_INV.rawValue != 0
        let target = try data[NetlinkAttributeType(NFTA_LOOKUP_DREG)]?.u32BigEndian()
        // NFT_REG_VERDICT: a verdict map.
        let isVerdict = target == 0
        if let target, !isVerdict { registers[Self.place(target)] = .unknown }
        guard case .known(let key) = value, let set = sets[data[NetlinkAttributeType(NFTA_LOOKUP_SET)]?.string ?? ""],
            set.isListed
        else {
            // Somebody is in no list; of anything else it cannot be told.
            if value == .somebody { return isInverted ? .goesOn : .fails }
            return isVerdict ? .ends(.unclear) : .mayFail
        }
        guard let element = set.element(key) else { return isInverted ? .goesOn : .fails }
        if isVerdict { return .ends(element.verdict ?? .unclear) }
        return isInverted ? .fails : .goesOn
    }
}

extension HostRuleset.NamedSet {
    /// The element that the key belongs to; nil when it is not in the set.
    func element(_ key: [UInt8]) -> HostRuleset.Element? {
        let others = elements.first { $0.isCatchAll }
        guard isInterval else { return elements.first { !$0.isCatchAll && $0.key == key } ?? others }
        // The last bound at or before the key says whether it is inside; where one interval ends another may begin.
        var nearest: HostRuleset.Element?
        for element in elements where !element.isCatchAll && element.key.count == key.count {
            guard !key.lexicographicallyPrecedes(element.key) else { continue }
            if let known = nearest, element.key.lexicographicallyPrecedes(known.key) { continue }
            if nearest?.key == element.key, element.endsInterval { continue }
            nearest = element
        }
        guard let nearest, !nearest.endsInterval else { return others }
        return nearest
    }
}
