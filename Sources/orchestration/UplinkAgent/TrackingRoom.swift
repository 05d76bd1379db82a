/// Whether conntrack has room for what comes: a table that is full drops new connections of the whole host without a word.
///
/// Times are of any steady clock.
struct TrackingRoom: Sendable {
    /// Shares of the limit, in hundredths: from here on it is named, and below that no longer.
    static let crowded = 90
    static let roomy = 75
    /// For which it is named at least: floods come in waves.
    static let hold = Duration.seconds(60)
    /// Never raised beyond: some 320 bytes of the kernel's memory each.
    static let most = 1 << 20

    /// What the kernel says; nil where it does not.
    struct Look: Hashable, Sendable {
        var flows: Int?
        var limit: Int?
        /// Flows that had to make place for others, and packets dropped, since the start of the network namespace.
        var evicted: UInt64?
        var dropped: UInt64?
    }

    /// That there is too little room.
    struct Crowding: Hashable, Sendable {
        var flows: Int
        var limit: Int
        /// The limit that would do.
        var wanted: Int
    }

    private var former: Look?
    private var namedUntil: Duration?

    /// What this process may raise the limit to; nil where there is room, or the limit may not be raised further.
    private(set) var wanted: Int?

    /// To be called each second or so.
    /// - Returns: nil where there is room.
    mutating func next(_ look: Look, now: Duration) -> Crowding? {
        defer { former = look }
        guard let flows = look.flows, let limit = look.limit, limit > 0 else {
            wanted = nil
            namedUntil = nil
            return nil
        }
        let isLosing = grew(\.evicted, look) || (grew(\.dropped, look) && flows * 100 >= limit * Self.roomy)
        if flows * 100 >= limit * Self.crowded || isLosing { namedUntil = now + Self.hold }
        guard let until = namedUntil, now < until || flows * 100 >= limit * Self.roomy else {
            wanted = nil
            namedUntil = nil
            return nil
        }
        let next = max(1 << 18, limit * 4)
        wanted = limit < Self.most ? min(next, Self.most) : nil
        return Crowding(flows: flows, limit: limit, wanted: next)
    }

    private func grew(_ counter: KeyPath<Look, UInt64?>, _ look: Look) -> Bool {
        guard let now = look[keyPath: counter], let before = former?[keyPath: counter] else { return false }
        return now > before
    }

    /// The sums of the columns `early_drop` and `drop` of /proc/net/stat/nf_conntrack, which has a line for each processor, in
    /// hexadecimal; nil for a column that is not there.
    static func counters(_ text: String) -> (evicted: UInt64?, dropped: UInt64?) {
        let lines = text.split(separator: "\n").map { $0.split(separator: " ") }
        guard let names = lines.first else { return (nil, nil) }
        func sum(_ name: String) -> UInt64? {
            guard let column = names.firstIndex(where: { $0 == name }) else { return nil }
            return lines.dropFirst().reduce(0) { $0 &+ ($1.indices.contains(column) ? UInt64($1[column], radix: 16) ?? 0 : 0) }
        }
        return (sum("early_drop"), sum("drop"))
    }
}

extension TrackingRoom.Crowding: CustomStringConvertible {
    var description: String {
        "conntrack holds \(flows) flows and has room for \(limit), so that new connections are dropped or soon will be: raise the sysctl "
            + "net.netfilter.nf_conntrack_max to \(wanted), in Kubernetes on the node"
    }
}
