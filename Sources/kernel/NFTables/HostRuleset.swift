import CLinuxHeaders
public import NetlinkMessages

/// All tables of the network namespace, whosever they are, as far as they say what comes in.
public struct HostRuleset: Sendable {
    struct TableName: Hashable, Sendable {
        /// `NFPROTO_*`.
        var family: UInt8
        var name: String
    }

    struct Chain: Sendable {
        var name: String
        /// Nil for a chain that hangs on no hook.
        var hook: UInt32?
        /// Of a chain on a hook: whether a packet that no rule decides on is dropped.
        var drops = false
        var rules: [[Expression]] = []
    }

    struct Expression: Sendable {
        var name: String
        /// Nil for one that has none.
        var data: ParsedAttributes?
    }

    struct NamedSet: Sendable {
        var isInterval: Bool
        /// Whether its elements were asked for.
        var isListed: Bool
        var elements: [Element] = []
    }

    struct Element: Hashable, Sendable {
        var key: [UInt8]
        /// Of an interval set: the first key after an interval, not in it.
        var endsInterval = false
        /// Any key that no other element has.
        var isCatchAll = false
        var verdict: RuleVerdict?
    }

    private(set) var chains: [TableName: [String: Chain]] = [:]
    private(set) var sets: [TableName: [String: NamedSet]] = [:]

    /// Dumps of every table's chains, rules and sets.
    public static let chainsQuery = query(NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN of every table")
    public static let rulesQuery = query(NFT_MSG_GETRULE, "NFT_MSG_GETRULE of every table")
    public static let setsQuery = query(NFT_MSG_GETSET, "NFT_MSG_GETSET of every table")

    private static func query(_ type: nf_tables_msg_types, _ description: String) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue), flags: [],
            header: NFTablesMessages.header(family: UInt8(AF_UNSPEC)), description: description)
    }

    /// Dumps of the elements of each set that ports, protocols or states may stand in.
    public static func elementQueries(sets: [NetlinkReply]) throws(MalformedNetlink) -> [NetlinkMessage] {
        var queries: [NetlinkMessage] = []
        for reply in sets {
            let family = try reply.header(as: nfgenmsg.self).nfgen_family
            let found = try reply.attributes(after: nfgenmsg.self)
            guard try isListed(found), let table = found[NetlinkAttributeType(NFTA_SET_TABLE)]?.string,
                let name = found[NetlinkAttributeType(NFTA_SET_NAME)]?.string
            else { continue }
            queries.append(
                NetlinkMessage(
                    type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_GETSETELEM.rawValue), flags: [],
                    header: NFTablesMessages.header(family: family),
                    attributes: NetlinkAttributes {
                        $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: table)
                        $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: name)
                    }, description: "NFT_MSG_GETSETELEM of \(table) \(name)"))
        }
        return queries
    }

    /// Sets of addresses may be long, and decide nothing here; nor do joined keys, which are longer than four bytes.
    private static func isListed(_ set: ParsedAttributes) throws(MalformedNetlink) -> Bool {
        let length = try set[NetlinkAttributeType(NFTA_SET_KEY_LEN)]?.u32BigEndian() ?? .max
        // TYPE_IPADDR of nftables' own numbers of types (include/datatype.h).
        let type = try set[NetlinkAttributeType(NFTA_SET_KEY_TYPE)]?.u32BigEndian()
        return length <= 4 && type != 7
    }

    /// Whether some chain decides on what comes in; without one there is nothing more to read.
    public static func hasInputChains(_ chains: [NetlinkReply]) throws(MalformedNetlink) -> Bool {
        try HostRuleset(chains: chains, rules: [], sets: [], elements: []).chains.values.contains { table in
            table.values.contains { $0.hook == NF_INET_LOCAL_IN.rawValue }
        }
    }

    /// From the answers to the queries above.
    public init(
        chains: [NetlinkReply], rules: [NetlinkReply], sets: [NetlinkReply], elements: [NetlinkReply]
    ) throws(MalformedNetlink) {
        for reply in chains {
            let (table, found) = try Self.read(reply, NetlinkAttributeType(NFTA_CHAIN_TABLE))
            var chain = Chain(name: found[NetlinkAttributeType(NFTA_CHAIN_NAME)]?.string ?? "")
            if let hook = try found[NetlinkAttributeType(NFTA_CHAIN_HOOK)]?.nested() {
                chain.hook = try hook[NetlinkAttributeType(NFTA_HOOK_HOOKNUM)]?.u32BigEndian()
            }
            chain.drops = try found[NetlinkAttributeType(NFTA_CHAIN_POLICY)]?.u32BigEndian() == UInt32(NF_DROP)
            self.chains[table, default: [:]][chain.name] = chain
        }
        for reply in rules {
            let (table, found) = try Self.read(reply, NetlinkAttributeType(NFTA_RULE_TABLE))
            var expressions: [Expression] = []
            if let list = try found[NetlinkAttributeType(NFTA_RULE_EXPRESSIONS)]?.nested() {
                for element in list {
                    let parts = try element.nested()
                    expressions.append(
                        Expression(
                            name: parts[NetlinkAttributeType(NFTA_EXPR_NAME)]?.string ?? "",
                            data: try parts[NetlinkAttributeType(NFTA_EXPR_DATA)]?.nested()))
                }
            }
            let name = found[NetlinkAttributeType(NFTA_RULE_CHAIN)]?.string ?? ""
            self.chains[table]?[name]?.rules.append(expressions)
        }
        for reply in sets {
            let (table, found) = try Self.read(reply, NetlinkAttributeType(NFTA_SET_TABLE))
            let flags = try found[NetlinkAttributeType(NFTA_SET_FLAGS)]?.u32BigEndian() ?? 0
            self.sets[table, default: [:]][found[NetlinkAttributeType(NFTA_SET_NAME)]?.string ?? ""] =
                NamedSet(isInterval: flags & NFT_SET_INTERVAL.rawValue != 0, isListed: try Self.isListed(found))
        }
        for reply in elements {
            let (table, found) = try Self.read(reply, NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE))
            let name = found[NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET)]?.string ?? ""
            guard let list = try found[NetlinkAttributeType(NFTA_SET_ELEM_LIST_ELEMENTS)]?.nested() else { continue }
            for element in list { self.sets[table]?[name]?.elements.append(try Self.element(element.nested())) }
        }
    }

    private static func read(
        _ reply: NetlinkReply, _ table: NetlinkAttributeType
    ) throws(MalformedNetlink) -> (TableName, ParsedAttributes) {
        let found = try reply.attributes(after: nfgenmsg.self)
        return (TableName(family: try reply.header(as: nfgenmsg.self).nfgen_family, name: found[table]?.string ?? ""), found)
    }

    private static func element(_ found: ParsedAttributes) throws(MalformedNetlink) -> Element {
        let key = try found[NetlinkAttributeType(NFTA_SET_ELEM_KEY)]?.nested()[NetlinkAttributeType(NFTA_DATA_VALUE)]
        let flags = try found[NetlinkAttributeType(NFTA_SET_ELEM_FLAGS)]?.u32BigEndian() ?? 0
        let verdict = try found[NetlinkAttributeType(NFTA_SET_ELEM_DATA)]?.nested()
        return Element(
            key: key.map { Array($0.payload) } ?? [], endsInterval: flags & NFT_SET_ELEM_INTERVAL_END.rawValue != 0,
            isCatchAll: flags & NFT_SET_ELEM_CATCHALL.rawValue != 0, verdict: try verdict.flatMap(RuleVerdict.init))
    }
}

/// Where a rule sends a packet.
enum RuleVerdict: Hashable, Sendable {
    case accept
    case drop
    /// The next rule of the same chain.
    case goOn
    /// The chain, and back.
    case jump(String)
    /// The chain, and not back.
    case goTo(String)
    /// Back to where the chain was jumped to from.
    case back
    /// Another program decides.
    case unclear

    /// From a nest that holds `NFTA_DATA_VERDICT`.
    /// - Returns: nil when it holds a value instead.
    init?(_ data: ParsedAttributes) throws(MalformedNetlink) {
        guard let verdict = try data[NetlinkAttributeType(NFTA_DATA_VERDICT)]?.nested(),
            let code = try verdict[NetlinkAttributeType(NFTA_VERDICT_CODE)]?.u32BigEndian()
        else { return nil }
        let chain = verdict[NetlinkAttributeType(NFTA_VERDICT_CHAIN)]?.string ?? ""
        // `enum nft_verdicts`, and the verdicts of linux/netfilter.h.
        switch Int32(bitPattern: code) {
        case NFT_CONTINUE.rawValue: self = .goOn
        case NFT_BREAK.rawValue: self = .goOn
        case NFT_JUMP.rawValue: self = .jump(chain)
        case NFT_GOTO.rawValue: self = .goTo(chain)
        case NFT_RETURN.rawValue: self = .back
        case Int32(NF_ACCEPT): self = .accept
        case Int32(NF_DROP): self = .drop
        default: self = .unclear
        }
    }
}
