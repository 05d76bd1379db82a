import NodeDocument

/// The kernel's table of connections, where the host tracks them: once it is full, new ones are dropped without a word to anybody.
enum ConnectionTable {
    static let countName = "net.netfilter.nf_conntrack_count"
    static let limitName = "net.netfilter.nf_conntrack_max"

    /// - Parameters: the two settings; nil where the host tracks nothing.
    /// - Returns: nil while a tenth of the table is free.
    static func problem(count: String?, limit: String?) -> AgentProblem? {
        guard let count = count.flatMap({ Int($0) }), let limit = limit.flatMap({ Int($0) }), limit > 0, count >= limit / 10 * 9
        else { return nil }
        return AgentProblem(
            kind: .network,
            message:
                "the host's table of connections, of \(limit) entries, is full to nine tenths, and what finds no place in it is "
                + "dropped: raise \(limitName), in /etc/sysctl.d to stay")
    }
}
