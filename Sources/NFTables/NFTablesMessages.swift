import CLinuxHeaders
import NetlinkMessages

/// The nf_tables messages we send (linux/netfilter/nf_tables.h), all about the table `ip tidegate`.
enum NFTablesMessages {
    /// The header every nfnetlink message has.
    static func header(family: UInt8, resource: UInt16 = 0) -> [UInt8] {
        [family, UInt8(NFNETLINK_V0), UInt8(resource >> 8), UInt8(truncatingIfNeeded: resource)]
    }

    static func message(
        _ type: nf_tables_msg_types, flags: NetlinkFlags = [], _ description: String, _ build: (inout NetlinkAttributes) -> Void
    ) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(NFNL_SUBSYS_NFTABLES) << 8 | UInt16(type.rawValue), flags: flags,
            header: header(family: UInt8(NFPROTO_IPV4)), attributes: NetlinkAttributes(build),
            description: "\(description) of table ip \(UplinkRuleset.table)")
    }

    /// The messages as one transaction, which the kernel does as a whole or not at all.
    /// - Parameter generation: of the ruleset that the messages are meant for; the kernel answers ERESTART when it has
    ///   another by now.
    static func transaction(_ messages: [NetlinkMessage], generation: UInt32) -> [NetlinkMessage] {
        guard let last = messages.last else { return [] }
        let resource = UInt16(NFNL_SUBSYS_NFTABLES)
        let begin = NetlinkMessage(
            type: UInt16(NFNL_MSG_BATCH_BEGIN), flags: [], header: header(family: UInt8(AF_UNSPEC), resource: resource),
            attributes: NetlinkAttributes { $0.put(NetlinkAttributeType(NFNL_BATCH_GENID), u32BigEndian: generation) },
            description: "begin of a transaction on table ip \(UplinkRuleset.table)")
        let end = NetlinkMessage(
            type: UInt16(NFNL_MSG_BATCH_BEGIN) + 1, flags: [], header: header(family: UInt8(AF_UNSPEC), resource: resource),
            description: "end of a transaction on table ip \(UplinkRuleset.table)")
        return [begin] + messages.dropLast() + [last.adding(.acknowledge), end]
    }

    // MARK: Changes

    static func createTable() -> NetlinkMessage {
        message(NFT_MSG_NEWTABLE, flags: [.create], "NFT_MSG_NEWTABLE") {
            $0.put(NetlinkAttributeType(NFTA_TABLE_NAME), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_TABLE_FLAGS), u32BigEndian: 0)
        }
    }

    static func deleteTable() -> NetlinkMessage {
        message(NFT_MSG_DELTABLE, "NFT_MSG_DELTABLE") {
            $0.put(NetlinkAttributeType(NFTA_TABLE_NAME), string: UplinkRuleset.table)
        }
    }

    static func create(_ chain: Chain) -> NetlinkMessage {
        message(NFT_MSG_NEWCHAIN, flags: [.create], "NFT_MSG_NEWCHAIN \(chain.name)") {
            $0.put(NetlinkAttributeType(NFTA_CHAIN_TABLE), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_NAME), string: chain.name)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_TYPE), string: chain.type)
            $0.put(NetlinkAttributeType(NFTA_CHAIN_POLICY), u32BigEndian: UInt32(bitPattern: chain.policy))
            $0.nest(NetlinkAttributeType(NFTA_CHAIN_HOOK)) {
                $0.put(NetlinkAttributeType(NFTA_HOOK_HOOKNUM), u32BigEndian: chain.hook)
                $0.put(NetlinkAttributeType(NFTA_HOOK_PRIORITY), u32BigEndian: UInt32(bitPattern: chain.priority))
            }
        }
    }

    static func append(_ rule: Rule, to chain: String) -> NetlinkMessage {
        message(NFT_MSG_NEWRULE, flags: [.create, .append], "NFT_MSG_NEWRULE \"\(rule.comment)\" in chain \(chain)") {
            $0.put(NetlinkAttributeType(NFTA_RULE_TABLE), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_RULE_CHAIN), string: chain)
            $0.nest(NetlinkAttributeType(NFTA_RULE_EXPRESSIONS)) { list in
                for expression in rule.expressions { expression.encode(into: &list) }
            }
            // libnftnl's udata: type 0 is a comment, its length, the text with its NUL.
            let comment = Array(rule.comment.utf8.prefix(127)) + [0]
            $0.put(NetlinkAttributeType(NFTA_RULE_USERDATA), bytes: [0, UInt8(comment.count)] + comment)
        }
    }

    static func createMap() -> NetlinkMessage {
        message(NFT_MSG_NEWSET, flags: [.create], "NFT_MSG_NEWSET \(ForwardMap.name)") {
            $0.put(NetlinkAttributeType(NFTA_SET_TABLE), string: UplinkRuleset.table)
            $0.put(NetlinkAttributeType(NFTA_SET_NAME), string: ForwardMap.name)
            $0.put(NetlinkAttributeType(NFTA_SET_FLAGS), u32BigEndian: NFT_SET_MAP.rawValue)
            $0.put(NetlinkAttributeType(NFTA_SET_KEY_TYPE), u32BigEndian: ForwardMap.keyType)
            $0.put(NetlinkAttributeType(NFTA_SET_KEY_LEN), u32BigEndian: ForwardMap.length)
            $0.put(NetlinkAttributeType(NFTA_SET_DATA_TYPE), u32BigEndian: ForwardMap.valueType)
            $0.put(NetlinkAttributeType(NFTA_SET_DATA_LEN), u32BigEndian: ForwardMap.length)
            // The kernel wants a number; it is used only where a name is not enough.
            $0.put(NetlinkAttributeType(NFTA_SET_ID), u32BigEndian: 1)
        }
    }

    static func addElements(_ elements: [(key: ForwardKey, value: ForwardTarget)]) -> [NetlinkMessage] {
        listMessages(NFT_MSG_NEWSETELEM, flags: [.create], "NFT_MSG_NEWSETELEM", elements) { element, list in
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_KEY)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: ForwardMap.bytes(element.key))
            }
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_DATA)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: ForwardMap.bytes(element.value))
            }
        }
    }

    static func deleteElements(_ keys: [ForwardKey]) -> [NetlinkMessage] {
        listMessages(NFT_MSG_DELSETELEM, flags: [], "NFT_MSG_DELSETELEM", keys) { key, list in
            list.nest(NetlinkAttributeType(NFTA_SET_ELEM_KEY)) {
                $0.put(NetlinkAttributeType(NFTA_DATA_VALUE), bytes: ForwardMap.bytes(key))
            }
        }
    }

    private static func listMessages<Element>(
        _ type: nf_tables_msg_types, flags: NetlinkFlags, _ name: String, _ elements: [Element],
        _ put: (Element, inout NetlinkAttributes) -> Void
    ) -> [NetlinkMessage] {
        stride(from: 0, to: elements.count, by: ForwardMap.elementsPerMessage).map { start in
            let chunk = elements[start..<min(start + ForwardMap.elementsPerMessage, elements.count)]
            return message(type, flags: flags, "\(name) (\(chunk.count)) in map \(ForwardMap.name)") {
                $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_TABLE), string: UplinkRuleset.table)
                $0.put(NetlinkAttributeType(NFTA_SET_ELEM_LIST_SET), string: ForwardMap.name)
                $0.nest(NetlinkAttributeType(NFTA_SET_ELEM_LIST_ELEMENTS)) { list in
                    for element in chunk { list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) { put(element, &$0) } }
                }
            }
        }
    }
}
