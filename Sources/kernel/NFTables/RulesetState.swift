import CLinuxHeaders
public import NetlinkMessages

/// The table as the kernel holds it, as far as we compare it.
public struct RulesetState: Sendable {
    /// Nil when there is none.
    var tableFlags: UInt32?
    var chains: [FoundChain] = []
    var rules: [FoundRule] = []
    var maps: [FoundMap] = []
    /// What the map `forwards` holds.
    public internal(set) var forwards: Forwards = [:]
    /// What the map `endpoints` holds.
    var slots: [SpreadMap.Key: ForwardTarget] = [:]
    /// Elements of the maps that no key or target of ours reads as.
    var foreignElements = 0

    struct FoundChain: Hashable, Sendable {
        let name: String
        /// Nil for a chain that hangs on no hook.
        let type: String?
        let hook: UInt32?
        let priority: Int32?
        let policy: Int32?
    }

    struct FoundRule: Sendable {
        let chain: String
        let expressions: [NFTablesExpression]
    }

    struct FoundMap: Hashable, Sendable {
        let name: String
        let flags: UInt32
        let keyType: UInt32
        let keyLength: UInt32
        let valueLength: UInt32

        static let ours = [
            (ForwardMap.name, ForwardMap.keyType, ForwardMap.length), (SpreadMap.name, SpreadMap.keyType, SpreadMap.keyLength),
        ]
        .map { Self(name: $0, flags: NFT_SET_MAP.rawValue, keyType: $1, keyLength: $2, valueLength: ForwardMap.length) }
    }

    /// No table.
    public init() {}

    /// From the answers to `RulesetQueries`; those of `elements` may be empty when there are no maps.
    /// - Parameter name: the table's.
    public init(
        _ name: String = UplinkRuleset.table, table: [NetlinkReply], chains: [NetlinkReply], rules: [NetlinkReply],
        maps: [NetlinkReply], elements: [NetlinkReply]
    ) throws(MalformedNetlink) {
        for reply in table {
            let found = try reply.attributes(after: nfgenmsg.self)
            tableFlags = try found[NetlinkAttributeType(NFTA_TABLE_FLAGS)]?.u32BigEndian() ?? 0
        }
        for found in try Self.ours(chains, NetlinkAttributeType(NFTA_CHAIN_TABLE), name) {
            let hook = try found[NetlinkAttributeType(NFTA_CHAIN_HOOK)]?.nested()
            self.chains.append(
                FoundChain(
                    name: found[NetlinkAttributeType(NFTA_CHAIN_NAME)]?.string ?? "",
                    type: found[NetlinkAttributeType(NFTA_CHAIN_TYPE)]?.string,
                    hook: try hook?[NetlinkAttributeType(NFTA_HOOK_HOOKNUM)]?.u32BigEndian(),
                    priority: try hook?[NetlinkAttributeType(NFTA_HOOK_PRIORITY)].map(Self.signed),
                    policy: try found[NetlinkAttributeType(NFTA_CHAIN_POLICY)].map(Self.signed)))
        }
        for found in try Self.ours(rules, NetlinkAttributeType(NFTA_RULE_TABLE), name) {
            let chain = found[NetlinkAttributeType(NFTA_RULE_CHAIN)]?.string ?? ""
            self.rules.append(FoundRule(chain: chain, expressions: try NFTablesExpression.list(inRule: found)))
        }
        for found in try Self.ours(maps, NetlinkAttributeType(NFTA_SET_TABLE), name) {
            self.maps.append(
                FoundMap(
                    name: found[NetlinkAttributeType(NFTA_SET_NAME)]?.string ?? "",
                    flags: try found[NetlinkAttributeType(NFTA_SET_FLAGS)]?.u32BigEndian() ?? 0,
                    keyType: try found[NetlinkAttributeType(NFTA_SET_KEY_TYPE)]?.u32BigEndian() ?? 0,
                    keyLength: try found[NetlinkAttributeType(NFTA_SET_KEY_LEN)]?.u32BigEndian() ?? 0,
                    valueLength: try found[NetlinkAttributeType(NFTA_SET_DATA_LEN)]?.u32BigEndian() ?? 0))
        }
        for reply in elements {
            let found = try reply.attributes(after: nfgenmsg.self)
            guard let list = found[NetlinkAttributeType(NFTA_SET_ELEM_LIST_ELEMENTS)] else { continue }
            let isSpread = found[NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET)]?.string == SpreadMap.name
            for element in try list.nested() {
                if isSpread {
                    if let (key, target) = try SpreadMap.element(element) {
                        slots[key] = target
                    } else {
                        foreignElements += 1
                    }
                } else if let (key, target) = try ForwardMap.element(element) {
                    forwards[key] = target
                } else {
                    foreignElements += 1
                }
            }
        }
    }

    /// Whether there is a table that lets nothing but our flows be forwarded: what we left when we had turned forwarding on.
    public var forwardsNothingElse: Bool { chains.contains { $0.hook == NF_INET_FORWARD.rawValue && $0.policy == NF_DROP } }

    /// This state after a transaction that changed nothing but the maps' elements.
    public func updated(to wanted: UplinkRuleset) -> RulesetState {
        var state = self
        state.forwards = wanted.forwards
        state.slots = SpreadMap.elements(wanted.spreads)
        return state
    }

    /// Whether the maps are there, so that their elements can be asked for.
    public static func mapsAreThere(in replies: [NetlinkReply]) throws(MalformedNetlink) -> Bool {
        let names = try ours(replies, NetlinkAttributeType(NFTA_SET_TABLE)).map {
            $0[NetlinkAttributeType(NFTA_SET_NAME)]?.string
        }
        return names.contains(ForwardMap.name) && names.contains(SpreadMap.name)
    }

    private static func ours(
        _ replies: [NetlinkReply], _ tableName: NetlinkAttributeType, _ name: String = UplinkRuleset.table
    ) throws(MalformedNetlink) -> [ParsedAttributes] {
        var result: [ParsedAttributes] = []
        for reply in replies {
            let found = try reply.attributes(after: nfgenmsg.self)
            if found[tableName]?.string == name { result.append(found) }
        }
        return result
    }

    private static func signed(_ attribute: ParsedAttribute) throws(MalformedNetlink) -> Int32 {
        Int32(bitPattern: try attribute.u32BigEndian())
    }
}
