import CLinuxHeaders
import NFTables
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
        var rules: [[NFTablesExpression]] = []
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
        NFTablesMessages.message(type, family: UInt8(AF_UNSPEC), description)
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
                NFTablesMessages.message(NFT_MSG_GETSETELEM, family: family, "NFT_MSG_GETSETELEM of \(table) \(name)") {
                    $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: table)
                    $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: name)
                })
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
    public var hasInputChains: Bool {
        chains.values.contains { $0.values.contains { $0.hook == NF_INET_LOCAL_IN.rawValue } }
    }

    /// The chains that drop forwarded IPv4 packets which none of their rules accepts, such as Docker's `filter FORWARD`, as
    /// `TABLE CHAIN`: an accepting rule of ours, whose table is another, cannot undo that.
    public func forwardDrops(besides ours: String) -> [String] {
        let families: Set = [UInt8(NFPROTO_IPV4), UInt8(NFPROTO_INET)]
        return chains.filter { families.contains($0.key.family) && $0.key.name != ours }.flatMap { table, chains in
            chains.values.filter { $0.hook == NF_INET_FORWARD.rawValue && $0.drops }.map { "\(table.name) \($0.name)" }
        }.sorted()
    }

    /// From the answers to the queries above.
    public init(
        chains: [NetlinkReply], rules: [NetlinkReply] = [], sets: [NetlinkReply] = [], elements: [NetlinkReply] = []
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
            let name = found[NetlinkAttributeType(NFTA_RULE_CHAIN)]?.string ?? ""
            self.chains[table]?[name]?.rules.append(try NFTablesExpression.list(inRule: found))
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
