import Glibc
public import NFTables
import Netlink
import NetlinkMessages

/// The table `ip tidegate_relay` of this network namespace.
public enum RelayTable {
    /// How often a transaction is planned anew because somebody else changed rules meanwhile.
    private static let attempts = 10

    /// Makes the table what `wanted` says.
    /// - Returns: what was changed; empty when all was as it should be.
    public static func apply(_ wanted: RelayRuleset) throws(HostNetworkError) -> [HostChange] {
        try retrying { (socket) throws(NetlinkError) in
            let generation = try socket.rulesGeneration()
            let present = try self.present(socket)
            let difference = try reading(RulesetQueries.rules(of: RelayRuleset.table)) { () throws(MalformedNetlink) in
                try wanted.difference(from: present)
            }
            guard let difference else { return [] }
            try socket.transact(wanted.transaction(replacing: !difference.isEmpty, generation: generation))
            return [.relayRuleset(replacedFor: difference.isEmpty ? nil : difference)]
        }
    }

    /// Removes the table, if there is one.
    /// - Returns: what was changed.
    public static func remove() throws(HostNetworkError) -> [HostChange] {
        try retrying { (socket) throws(NetlinkError) in
            let generation = try socket.rulesGeneration()
            guard try !socket.table(RulesetQueries.table(RelayRuleset.table)).isEmpty else { return [] }
            try socket.transact(RelayRuleset.removal(generation: generation))
            return [.rulesetRemoved(table: RelayRuleset.table)]
        }
    }

    private static func present(_ socket: NetlinkSocket) throws(NetlinkError) -> RulesetState {
        let table = try socket.table(RulesetQueries.table(RelayRuleset.table))
        if table.isEmpty { return RulesetState() }
        let name = RelayRuleset.table
        let chains = try socket.dump(RulesetQueries.chains(of: name))
        let rules = try socket.dump(RulesetQueries.rules(of: name))
        let maps = try socket.dump(RulesetQueries.maps(of: name))
        return try reading(RulesetQueries.rules(of: name)) { () throws(MalformedNetlink) in
            try RulesetState(name, table: table, chains: chains, rules: rules, maps: maps, elements: [])
        }
    }

    /// Tries again when the rules changed between the reading and the writing.
    private static func retrying(
        _ body: (NetlinkSocket) throws(NetlinkError) -> [HostChange]
    ) throws(HostNetworkError) -> [HostChange] {
        let socket = try openSocket(.netfilter)
        var attempt = 1
        while true {
            do throws(NetlinkError) {
                return try body(socket)
            } catch  where attempt < attempts && [restartNeeded, ENOENT, EINTR].contains(error.errno) {
                attempt += 1
            } catch {
                throw .netlink(error)
            }
        }
    }
}
