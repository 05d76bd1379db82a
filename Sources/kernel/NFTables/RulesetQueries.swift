import CLinuxHeaders
public import NetlinkMessages

/// The questions whose answers make a `RulesetState`.
public enum RulesetQueries {
    /// The generation of all of nf_tables' rules in this network namespace: it changes with every transaction of anyone.
    public static let generation = NFTablesMessages.message(NFT_MSG_GETGEN, family: UInt8(AF_UNSPEC), "NFT_MSG_GETGEN")

    /// One request; ENOENT says that there is no table.
    public static func table(_ table: String = UplinkRuleset.table) -> NetlinkMessage {
        query(NFT_MSG_GETTABLE, "NFT_MSG_GETTABLE", NFTA_TABLE_NAME, table)
    }

    // Dumps. Kernels differ in which of them they filter by table; the answers are filtered again.

    public static func chains(of table: String = UplinkRuleset.table) -> NetlinkMessage {
        query(NFT_MSG_GETCHAIN, "NFT_MSG_GETCHAIN", NFTA_CHAIN_TABLE, table)
    }

    public static func rules(of table: String = UplinkRuleset.table) -> NetlinkMessage {
        query(NFT_MSG_GETRULE, "NFT_MSG_GETRULE", NFTA_RULE_TABLE, table)
    }

    public static func maps(of table: String = UplinkRuleset.table) -> NetlinkMessage {
        query(NFT_MSG_GETSET, "NFT_MSG_GETSET", NFTA_SET_TABLE, table)
    }

    private static func query(
        _ type: nf_tables_msg_types, _ name: String, _ attribute: some RawRepresentable<UInt32>, _ table: String
    ) -> NetlinkMessage {
        NFTablesMessages.message(type, name, table: table) { $0.put(NetlinkAttributeType(attribute), string: table) }
    }

    /// Of each map of ours; only when `maps` told of it.
    public static let elements = [ForwardMap.name, SpreadMap.name].map { map in
        NFTablesMessages.message(NFT_MSG_GETSETELEM, "NFT_MSG_GETSETELEM \(map)") {
            $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: map)
        }
    }

    /// The number in the answer to `generation`.
    public static func generation(in replies: [NetlinkReply]) throws(MalformedNetlink) -> UInt32 {
        guard let reply = replies.first,
            let number = try reply.attributes(after: nfgenmsg.self)[NetlinkAttributeType(NFTA_GEN_ID)]
        else { throw MalformedNetlink("NFT_MSG_GETGEN: no generation in the answer") }
        return try number.u32BigEndian()
    }
}
