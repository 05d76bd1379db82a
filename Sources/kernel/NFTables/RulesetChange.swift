import CLinuxHeaders
public import NetlinkMessages
import NetworkTypes

/// What must be done to the table so that it is what an uplink wants.
public struct RulesetChange: Sendable {
    public enum Kind: Hashable, Sendable {
        case none
        /// There was no table.
        case create
        /// Something other than the maps' elements was not ours: the whole table is put in place anew.
        case rebuild(reason: String)
        /// Elements of the maps only.
        case update(added: [ForwardKey], changed: [ForwardKey], removed: [ForwardKey])
    }

    public let kind: Kind
    /// In order, for one transaction; empty for `.none`.
    public let messages: [NetlinkMessage]

    public init(from present: RulesetState, to wanted: UplinkRuleset) {
        guard present.tableFlags != nil else {
            kind = .create
            messages = Self.creation(of: wanted)
            return
        }
        if let reason = Self.difference(present, wanted) {
            kind = .rebuild(reason: reason)
            messages = [NFTablesMessages.deleteTable()] + Self.creation(of: wanted)
            return
        }
        let removed = present.forwards.keys.filter { wanted.forwards[$0] == nil }.sorted()
        let changed = wanted.forwards.keys.filter { key in
            present.forwards[key].map { $0 != wanted.forwards[key] } ?? false
        }.sorted()
        let added = wanted.forwards.keys.filter { present.forwards[$0] == nil }.sorted()
        let slots = SpreadMap.elements(wanted.spreads)
        let oldSlots = present.slots.keys.filter { present.slots[$0] != slots[$0] }.sorted()
        let newSlots = slots.keys.filter { present.slots[$0] != slots[$0] }.sorted()
        if removed.isEmpty, changed.isEmpty, added.isEmpty, oldSlots.isEmpty, newSlots.isEmpty {
            kind = .none
            messages = []
            return
        }
        let (before, after) = (Set(present.slots.keys.map(\.forward)), Set(wanted.spreads.keys))
        let touched = Set((oldSlots + newSlots).map(\.forward))
        kind = .update(
            added: added + after.subtracting(before).sorted(),
            changed: changed + touched.intersection(before).intersection(after).sorted(),
            removed: removed + before.subtracting(after).sorted())
        // A key with another value is refused, so changed ones go first and come again.
        messages =
            NFTablesMessages.deleteElements(removed + changed) + NFTablesMessages.deleteElements(oldSlots)
            + NFTablesMessages.addElements((changed + added).compactMap { key in wanted.forwards[key].map { (key, $0) } })
            + NFTablesMessages.addElements(newSlots.compactMap { key in slots[key].map { (key, $0) } })
    }

    /// The messages between the begin and the end of a transaction.
    public func transaction(generation: UInt32) -> [NetlinkMessage] {
        NFTablesMessages.transaction(messages, generation: generation)
    }

    /// The transaction that removes the table.
    public static func removal(generation: UInt32) -> [NetlinkMessage] {
        NFTablesMessages.transaction([NFTablesMessages.deleteTable()], generation: generation)
    }

    private static func creation(of wanted: UplinkRuleset) -> [NetlinkMessage] {
        var messages = [NFTablesMessages.createTable()] + NFTablesMessages.createMaps()
        messages += NFTablesMessages.addElements(wanted.forwards.sorted { $0.key < $1.key })
        messages += NFTablesMessages.addElements(SpreadMap.elements(wanted.spreads).sorted { $0.key < $1.key })
        return messages + NFTablesMessages.create(wanted.chains, in: UplinkRuleset.table)
    }

    /// What of the table, elements aside, is not as wanted; nil when all is.
    private static func difference(_ present: RulesetState, _ wanted: UplinkRuleset) -> String? {
        if present.tableFlags != 0 { return "the table's flags" }
        let maps = RulesetState.FoundMap.ours
        if present.maps.count != maps.count || Set(present.maps) != Set(maps) { return "the sets" }
        if present.foreignElements > 0 { return "elements of maps \(ForwardMap.name) and \(SpreadMap.name)" }
        return difference(present, wanted.chains)
    }

    /// What of the chains and their rules is not as wanted; nil when all is.
    static func difference(_ present: RulesetState, _ chains: [Chain]) -> String? {
        if present.chains.map(\.name).sorted() != chains.map(\.name).sorted() { return "the chains" }
        for chain in chains {
            let expected = RulesetState.FoundChain(
                name: chain.name, type: chain.type, hook: chain.hook, priority: chain.priority, policy: chain.policy)
            if !present.chains.contains(expected) { return "chain \(chain.name)" }
            let rules = present.rules.filter { $0.chain == chain.name }
            if rules.count != chain.rules.count { return "the rules of chain \(chain.name)" }
            for (found, rule) in zip(rules, chain.rules) where found.expressions != rule.expressions {
                return "rule \"\(rule.comment)\" of chain \(chain.name)"
            }
        }
        return nil
    }
}

extension RulesetChange.Kind {
    /// Whether UDP flows may now go elsewhere than the map says.
    public var concernsUDP: Bool {
        switch self {
        case .none: false
        case .create, .rebuild: true
        case .update(let added, let changed, let removed): (added + changed + removed).contains { $0.protocol == .udp }
        }
    }
}

extension RulesetChange.Kind: CustomStringConvertible {
    public var description: String {
        switch self {
        case .none: "nftables: nothing to change"
        case .create: "nftables: made table ip \(UplinkRuleset.table)"
        case .rebuild(let reason): "nftables: put table ip \(UplinkRuleset.table) in place anew, since \(reason) differed"
        case .update(let added, let changed, let removed):
            "nftables: map \(ForwardMap.name): \(added.count) added, \(changed.count) changed, \(removed.count) removed"
        }
    }
}
