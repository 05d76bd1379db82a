import CLinuxHeaders
public import NetlinkMessages

/// The questions whose answers make a `RulesetState`.
public enum RulesetQueries {
    /// The generation of all of nf_tables' rules in this network namespace: it changes with every transaction of anyone.
    public static let generation = NetlinkMessage(
        type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_GETGEN.rawValue), flags: [],
        header: NFTablesMessages.header(family: UInt8(AF_UNSPEC)), description: "NFT_MSG_GETGEN")

    /// One request; ENOENT says that there is no table.
    public static let table = table(UplinkRuleset.table)

    public static func table(_ table: String) -> NetlinkMessage {
        NFTablesMessages.message(NFT_MSG_GETTABLE, "NFT_MSG_GETTABLE", table: table) {
            $0.put(NetlinkAttributeType(NFTA_TABLE_NAME), string: table)
        }
    }

    // Dumps. Kernels differ in which of them they filter by table; the answers are filtered again.

    public static let chains = chains(of: UplinkRuleset.table)

    public static func chains(of table: String) -> NetlinkMessage {
        NFTablesMessages.message(NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", table: table) {
            $0.put(NetlinkAttributeType(NFTA_CHAIN_TABLE), string: table)
        }
    }

    public static let rules = rules(of: UplinkRuleset.table)

    public static func rules(of table: String) -> NetlinkMessage {
        NFTablesMessages.message(NFT_MSG_GETRULE, "NFT_MSG_GETRULE", table: table) {
            $0.put(NetlinkAttributeType(NFTA_RULE_TABLE), string: table)
        }
    }

    public static let maps = maps(of: UplinkRuleset.table)

    public static func maps(of table: String) -> NetlinkMessage {
        NFTablesMessages.message(NFT_MSG_GETSET, "NFT_MSG_GETSET", table: table) {
            $0.put(NetlinkAttributeType(NFTA_SET_TABLE), string: table)
        }
    }

    /// Of each map of ours; only when `maps` told of it.
    public static let elements = [ForwardMap.name, SpreadMap.name].map { map in
        NFTablesMessages.message(NFT_MSG_GETSETELEM, "NFT_MSG_GETSETELEM \(map)") {
            $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: map)
        }
    }

    /// Dumps of every chain that IPv4 packets may meet, whosever it is.
    public static let everyChain = [UInt8(NFPROTO_IPV4), UInt8(NFPROTO_INET)].map { family in
        NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(NFT_MSG_GETCHAIN.rawValue), flags: [],
            header: NFTablesMessages.header(family: family), description: "NFT_MSG_GETCHAIN of every table")
    }

    /// The chains of others in the answers to `everyChain` that drop forwarded packets which none of their rules accepts,
    /// such as Docker's `filter FORWARD`. An accepting rule of ours cannot undo that.
    public static func foreignForwardDrops(in replies: [NetlinkReply]) throws(MalformedNetlink) -> [String] {
        var names: [String] = []
        for reply in replies {
            let found = try reply.attributes(after: nfgenmsg.self)
            let table = found[NetlinkAttributeType(NFTA_CHAIN_TABLE)]?.string ?? ""
            let hook = try found[NetlinkAttributeType(NFTA_CHAIN_HOOK)]?.nested()[NetlinkAttributeType(NFTA_HOOK_HOOKNUM)]
            let policy = try found[NetlinkAttributeType(NFTA_CHAIN_POLICY)]?.u32BigEndian()
            guard table != UplinkRuleset.table, try hook?.u32BigEndian() == NF_INET_FORWARD.rawValue, policy == UInt32(NF_DROP)
            else { continue }
            names.append("\(table) \(found[NetlinkAttributeType(NFTA_CHAIN_NAME)]?.string ?? "")")
        }
        return names
    }

    /// The number in the answer to `generation`.
    public static func generation(in replies: [NetlinkReply]) throws(MalformedNetlink) -> UInt32 {
        guard let reply = replies.first,
            let number = try reply.attributes(after: nfgenmsg.self)[NetlinkAttributeType(NFTA_GEN_ID)]
        else { throw MalformedNetlink("NFT_MSG_GETGEN: no generation in the answer") }
        return try number.u32BigEndian()
    }
}
