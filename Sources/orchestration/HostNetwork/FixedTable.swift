public import NFTables
import Netlink
import NetlinkMessages

/// A table of ours in this network namespace that has no maps.
public enum FixedTable {
    /// Makes the table what `wanted` says.
    /// - Returns: what was changed; empty when all was as it should be.
    public static func apply(_ wanted: FixedRuleset) throws(HostNetworkError) -> [HostChange] {
        try withSocket { (socket) throws(NetlinkError) in
            let generation = try socket.rulesGeneration()
            let present = try self.present(wanted.table, socket)
            guard let difference = wanted.difference(from: present) else { return [] }
            try socket.transact(wanted.transaction(replacing: !difference.isEmpty, generation: generation))
            return [.fixedTable(wanted.table, replacedFor: difference.isEmpty ? nil : difference)]
        }
    }

    /// Removes the table, if there is one.
    /// - Returns: what was changed.
    public static func remove(_ table: String) throws(HostNetworkError) -> [HostChange] {
        try withSocket { (socket) throws(NetlinkError) in
            let generation = try socket.rulesGeneration()
            guard try !socket.table(RulesetQueries.table(table)).isEmpty else { return [] }
            try socket.transact(FixedRuleset.removal(of: table, generation: generation))
            return [.rulesetRemoved(table: table)]
        }
    }

    private static func present(_ name: String, _ socket: NetlinkSocket) throws(NetlinkError) -> RulesetState {
        let table = try socket.table(RulesetQueries.table(name))
        if table.isEmpty { return RulesetState() }
        let chains = try socket.dump(RulesetQueries.chains(of: name))
        let rules = try socket.dump(RulesetQueries.rules(of: name))
        let maps = try socket.dump(RulesetQueries.maps(of: name))
        return try reading(RulesetQueries.rules(of: name)) { () throws(MalformedNetlink) in
            try RulesetState(name, table: table, chains: chains, rules: rules, maps: maps, elements: [])
        }
    }

    private static func withSocket(
        _ body: (NetlinkSocket) throws(NetlinkError) -> [HostChange]
    ) throws(HostNetworkError) -> [HostChange] {
        let socket = try openSocket(.netfilter)
        do throws(NetlinkError) {
            return try retrying { () throws(NetlinkError) in try body(socket) }
        } catch {
            throw .netlink(error)
        }
    }
}
