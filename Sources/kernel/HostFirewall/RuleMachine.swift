import CLinuxHeaders
import NFTables

/// The small machine that nf_tables runs for each packet, as far as what it loads is known.
struct RuleMachine {
    enum Step: Hashable {
        case goesOn
        /// The rule does not match.
        case fails
        /// It cannot be known here whether it matches.
        case mayFail
        /// Nil where another program decides.
        case ends(RuleVerdict?)
    }

    let packet: InboundPacket
    let sets: [String: HostRuleset.NamedSet]
    /// By their place in units of four bytes.
    private var registers: [UInt32: PacketValue] = [:]

    init(packet: InboundPacket, sets: [String: HostRuleset.NamedSet]) {
        self.packet = packet
        self.sets = sets
    }

    mutating func run(_ expression: NFTablesExpression) -> Step {
        switch expression {
        case .meta(let key, let register): self[register] = packet.meta(key)
        case .connection(let key, _, let register): self[register] = packet.connection(key)
        case .payload(let base, let offset, let length, let register):
            self[register] = packet.payload(base: base, offset: offset, length: length)
        case .fib(let flags, let result, let register):
            // The destination is this host's own; anything else asked of the routes is unknown.
            let isLocal = result == NFT_FIB_RESULT_ADDRTYPE && flags == NFTA_FIB_F_DADDR.rawValue
            self[register] = isLocal ? .known(NFTablesExpression.hostOrder(UInt32(RTN_LOCAL))) : .unknown
        case .bitwise(let operation, let mask, let xor, let source, let destination):
            self[destination] = operation == 0 ? self[source].masked(mask, xor) : .unknown
        case .compare(let comparison, let bytes, let register): return Self.step(Self.compare(self[register], comparison, bytes))
        case .range(let operation, let from, let to, let register):
            return Self.step(Self.range(self[register], isInverted: operation == NFT_RANGE_NEQ, from: from, to: to))
        case .lookup(let set, let source, let destination, let isInverted):
            return lookUp(self[source], in: set, into: destination, isInverted: isInverted)
        case .verdict(let verdict): return .ends(verdict)
        case .match(let name, let revision, let structure):
            return Self.step(CompatMatch.holds(name, revision: revision, structure, for: packet))
        case .target(let name, _, _):
            switch name {
            case "REJECT", "TARPIT": return .ends(.drop)
            case "LOG", "NFLOG", "MARK", "CONNMARK", "SET", "AUDIT", "TRACE": return .goesOn
            default: return .ends(nil)
            }
        case .other("reject"): return .ends(.drop)
        case .other("queue"): return .ends(nil)
        // They count or note, or set what others load, and let through.
        case .setPayload, .immediate, .other("meta"), .other("ct"), .other("counter"), .other("log"), .other("last"),
            .other("notrack"), .other("dynset"), .other("objref"):
            return .goesOn
        case .byteOrder, .destinationNAT, .masquerade, .route, .setOption, .other: return .mayFail
        }
        return .goesOn
    }

    // MARK: Parts

    private subscript(register: NFTablesExpression.Register) -> PacketValue {
        get { registers[register.place] ?? .unknown }
        set { registers[register.place] = newValue }
    }

    private static func step(_ holds: Bool?) -> Step { holds.map { $0 ? .goesOn : .fails } ?? .mayFail }

    private static func compare(_ value: PacketValue, _ comparison: NFTablesExpression.Comparison, _ other: [UInt8]) -> Bool? {
        if comparison == .equal { return value.equals(other) }
        if comparison == .notEqual { return value.equals(other).map { !$0 } }
        guard case .known(let bytes) = value, bytes.count == other.count else { return nil }
        let isLess = bytes.lexicographicallyPrecedes(other)
        return switch comparison {
        case .less: isLess
        case .lessOrEqual: isLess || bytes == other
        case .greater: !isLess && bytes != other
        case .greaterOrEqual: !isLess
        case .equal, .notEqual: nil
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

    private mutating func lookUp(
        _ value: PacketValue, in name: String, into target: NFTablesExpression.Register?, isInverted: Bool
    ) -> Step {
        let isVerdict = target == .verdict
        if let target, !isVerdict { self[target] = .unknown }
        guard case .known(let key) = value, let set = sets[name], set.isListed else {
            // Somebody is in no list; of anything else it cannot be told.
            if value == .somebody { return isInverted ? .goesOn : .fails }
            return isVerdict ? .ends(nil) : .mayFail
        }
        guard let element = set.element(key) else { return isInverted ? .goesOn : .fails }
        if isVerdict { return .ends(element.verdict) }
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
