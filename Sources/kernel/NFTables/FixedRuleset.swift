public import NetlinkMessages

/// A table of ours for IPv4 that has chains and no maps, so that nothing in it changes by itself.
public struct FixedRuleset: Sendable {
    /// Its name.
    public let table: String
    let chains: [Chain]

    /// What of the table is not as wanted: nil when all is, `""` when there is none.
    public func difference(from present: RulesetState) -> String? {
        guard let flags = present.tableFlags else { return "" }
        if flags != 0 { return "the table's flags" }
        if !present.maps.isEmpty { return "the sets" }
        return RulesetChange.difference(present, chains)
    }

    /// The transaction that puts the table in place.
    /// - Parameter isThere: whether one is there, which goes then.
    public func transaction(replacing isThere: Bool, generation: UInt32) -> [NetlinkMessage] {
        let messages =
            (isThere ? [NFTablesMessages.deleteTable(table)] : []) + [NFTablesMessages.createTable(table)]
            + NFTablesMessages.create(chains, in: table)
        return NFTablesMessages.transaction(messages, generation: generation, table: table)
    }

    /// The transaction that removes a table.
    public static func removal(of table: String, generation: UInt32) -> [NetlinkMessage] {
        NFTablesMessages.transaction([NFTablesMessages.deleteTable(table)], generation: generation, table: table)
    }
}
