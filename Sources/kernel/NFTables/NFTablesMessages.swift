public import CLinuxHeaders
public import NetlinkMessages

/// The nf_tables messages we send (linux/netfilter/nf_tables.h), about the table `ip tidegate` unless another is named.
public enum NFTablesMessages {
    /// The header every nfnetlink message has.
    static func header(family: UInt8, resource: UInt16 = 0) -> [UInt8] {
        [family, UInt8(NFNETLINK_V0), UInt8(resource >> 8), UInt8(truncatingIfNeeded: resource)]
    }

    /// - Parameter family: of the tables it is about; 0 for all.
    public static func message(
        _ type: nf_tables_msg_types, flags: NetlinkFlags = [], family: UInt8, _ description: String,
        _ build: (inout NetlinkAttributes) -> Void = { _ in }
    ) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue), flags: flags, header: header(family: family),
            attributes: NetlinkAttributes(build), description: description)
    }

    static func message(
        _ type: nf_tables_msg_types, flags: NetlinkFlags = [], _ description: String, table: String = UplinkRuleset.table,
        _ build: (inout NetlinkAttributes) -> Void
    ) -> NetlinkMessage {
        message(type, flags: flags, family: UInt8(NFPROTO_IPV4), "\(description) of table ip \(table)", build)
    }

    /// The messages as one transaction, which the kernel does as a whole or not at all.
    /// - Parameter generation: of the ruleset that the messages are meant for; the kernel answers ERESTART when it has
    ///   another by now.
    static func transaction(
        _ messages: [NetlinkMessage], generation: UInt32, table: String = UplinkRuleset.table
    ) -> [NetlinkMessage] {
        guard let last = messages.last else { return [] }
        let resource = UInt16(NFNL_SUBSYS_NFTABLES)
        let begin = NetlinkMessage(
            type: UInt16(NFNL_MSG_BATCH_BEGIN), flags: [], header: header(family: UInt8(AF_UNSPEC), resource: resource),
            attributes: NetlinkAttributes { $0.put(NetlinkAttributeType(NFNL_BATCH_GENID), u32BigEndian: generation) },
            description: "begin of a transaction on table ip \(table)")
        let end = NetlinkMessage(
            type: UInt16(NFNL_MSG_BATCH_BEGIN) + 1, flags: [], header: header(family: UInt8(AF_UNSPEC), resource: resource),
            description: "end of a transaction on table ip \(table)")
        return [begin] + messages.dropLast() + [last.adding(.acknowledge), end]
    }

    /// A table's chains with their rules.
    static func create(_ chains: [Chain], in table: String) -> [NetlinkMessage] {
        chains.flatMap { chain in [create(chain, in: table)] + chain.rules.map { append($0, to: chain.name, in: table) } }
    }

    // MARK: Changes

    static func createTable(_ table: String = UplinkRuleset.table) -> NetlinkMessage {
        message(NFT_MSG_NEWTABLE, flags: [.create], "NFT_MSG_NEWTABLE", table: table) {
            $0.put(NetlinkAttributeType(NFTA_TABLE_NAME), string: table)
            $0.put(NetlinkAttributeType(NFTA_TABLE_FLAGS), u32BigEndian: 0)
        }
    }

    static func deleteTable(_ table: String = UplinkRuleset.table) -> NetlinkMessage {
        message(NFT_MSG_DELTABLE, "NFT_MSG_DELTABLE", table: table) {
            $0.put(NetlinkAttributeType(NFTA_TABLE_NAME), string: table)
        }
    }

    static func create(_ chain: Chain, in table: String = UplinkRuleset.table) -> NetlinkMessage {
        message(NFT_MSG_NEWCHAIN, flags: [.create], "NFT_MSG_NEWCHAIN \(chain.name)", table: table) {
            $0.put(NetlinkAttributeType(NFTA_CHAIN_TABLE), string: table)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_NAME), string: chain.name)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_TYPE), string: chain.type)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_POLICY), u32BigEndian: UInt32(bitPattern: chain.policy))
            $0.nest(NetlinkAttributeType(NFTA_CHAIN_HOOK)) {
                $0.put(NetlinkAttributeType(NFTA_HOOK_HOOKNUM), u32BigEndian: chain.hook)
                $0.put(NetlinkAttributeType(NFTA_HOOK_PRIORITY), u32BigEndian: UInt32(bitPattern: chain.priority))
            }
        }
    }

    static func append(_ rule: Rule, to chain: String, in table: String = UplinkRuleset.table) -> NetlinkMessage {
        message(
            NFT_MSG_NEWRULE, flags: [.create, .append], "NFT_MSG_NEWRULE \"\(rule.comment)\" in chain \(chain)", table: table
        ) {
            $0.put(NetlinkAttributeType(NFTA_RULE_TABLE), string: table)
            $0.put(NetlinkAttributeType(NFTA_RULE_CHAIN), string: chain)
            $0.nest(NetlinkAttributeType(NFTA_RULE_EXPRESSIONS)) { list in
                for expression in rule.expressions { expression.encode(into: &list) }
            }
            // libnftnl's udata: type 0 is a comment, its length, the text with its NUL.
            let comment = Array(rule.comment.utf8.prefix(127)) + [0]
            $0.put(NetlinkAttributeType(NFTA_RULE_USERDATA), bytes: [0, UInt8(comment.count)] + comment)
        }
    }

    static func createMaps() -> [NetlinkMessage] {
        zip(RulesetState.FoundMap.ours, UInt32(1)...).map { map, number in
            message(NFT_MSG_NEWSET, flags: [.create], "NFT_MSG_NEWSET \(map.name)") {
                $0.put(NetlinkAttributeType(NFTA_SET_TABLE), string: UplinkRuleset.table)
                $0.put(NetlinkAttributeType(NFTA_SET_NAME), string: map.name)
                $0.put(NetlinkAttributeType(NFTA_SET_FLAGS), u32BigEndian: map.flags)
                $0.put(NetlinkAttributeType(NFTA_SET_KEY_TYPE), u32BigEndian: map.keyType)
                $0.put(NetlinkAttributeType(NFTA_SET_KEY_LEN), u32BigEndian: map.keyLength)
                $0.put(NetlinkAttributeType(NFTA_SET_DATA_TYPE), u32BigEndian: ForwardMap.valueType)
                $0.put(NetlinkAttributeType(NFTA_SET_DATA_LEN), u32BigEndian: map.valueLength)
                // The kernel wants a number; it is used only where a name is not enough.
                $0.put(NetlinkAttributeType(NFTA_SET_ID), u32BigEndian: number)
            }
        }
    }

    static func addElements(_ elements: [(key: ForwardKey, value: ForwardTarget)]) -> [NetlinkMessage] {
        add(elements.map { (ForwardMap.bytes($0.key), $0.value) }, to: ForwardMap.name)
    }

    static func addElements(_ elements: [(key: SpreadMap.Key, value: ForwardTarget)]) -> [NetlinkMessage] {
        add(elements.map { (SpreadMap.bytes($0.key), $0.value) }, to: SpreadMap.name)
    }

    static func deleteElements(_ keys: [ForwardKey]) -> [NetlinkMessage] {
        delete(keys.map(ForwardMap.bytes), of: ForwardMap.name)
    }

    static func deleteElements(_ keys: [SpreadMap.Key]) -> [NetlinkMessage] {
        delete(keys.map(SpreadMap.bytes), of: SpreadMap.name)
    }

    private static func add(_ elements: [(key: [UInt8], value: ForwardTarget)], to map: String) -> [NetlinkMessage] {
        listMessages(NFT_MSG_NEWSETELEM, flags: [.create], "NFT_MSG_NEWSETELEM", map, elements) { element, list in
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_KEY)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: element.key)
            }
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_DATA)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: ForwardMap.bytes(element.value))
            }
        }
    }

    private static func delete(_ keys: [[UInt8]], of map: String) -> [NetlinkMessage] {
        listMessages(NFT_MSG_DELSETELEM, flags: [], "NFT_MSG_DELSETELEM", map, keys) { key, list in
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_KEY)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: key)
            }
        }
    }

    private static func listMessages<Element>(
        _ type: nf_tables_msg_types, flags: NetlinkFlags, _ name: String, _ map: String, _ elements: [Element],
        _ put: (Element, inout NetlinkAttributes) -> Void
    ) -> [NetlinkMessage] {
        stride(from: 0, to: elements.count, by: ForwardMap.elementsPerMessage).map { start in
            let chunk = elements[start..<min(start + ForwardMap.elementsPerMessage, elements.count)]
            return message(type, flags: flags, "\(name) (\(chunk.count)) in map \(map)") {
                $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: UplinkRuleset.table)
                $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: map)
                $0.nest(NetlinkAttributeType(NFTA_SET_ELEM_LIST_ELEMENTS)) { list in
                    for element in chunk { list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) { put(element, &$0) } }
                }
            }
        }
    }
}
