/// Which connections of a listener stay when more come than it holds.
///
/// A new one is nearly always let in: a kubelet and a prober ask over fresh connections, so it is an old idle one that nobody misses.
/// It goes from the source that is over its share, else from the source that holds most: whoever floods takes from himself.
public struct ConnectionBudget<Source: Hashable & Sendable>: Sendable {
    /// Connections at once.
    public struct Limits: Hashable, Sendable {
        public var total: Int
        public var ofOneSource: Int

        public init(total: Int, ofOneSource: Int) {
            self.total = total
            self.ofOneSource = ofOneSource
        }
    }

    public typealias ID = UInt64

    enum Verdict: Hashable, Sendable {
        case stay
        /// It may stay, and that one is to be closed.
        case stayInsteadOf(ID)
        case leave
    }

    private struct Connection: Sendable {
        let source: Source
        /// Rises with each turn of a connection to idleness; nil while a request is answered.
        var idleSince: UInt64?
    }

    private let limits: Limits
    private var connections: [ID: Connection] = [:]
    private var counts: [Source: Int] = [:]
    private var turn: UInt64 = 0

    init(_ limits: Limits) { self.limits = limits }

    var count: Int { connections.count }

    /// A connection came; it counts unless it is to leave. One that makes place counts no more.
    mutating func opened(_ id: ID, from source: Source) -> Verdict {
        turn += 1
        var verdict = Verdict.stay
        if counts[source, default: 0] >= limits.ofOneSource {
            guard let victim = oldestIdle(of: source) else { return .leave }
            verdict = .stayInsteadOf(victim)
        } else if connections.count >= limits.total {
            guard let victim = oldestIdleOfTheGreediest() else { return .leave }
            verdict = .stayInsteadOf(victim)
        }
        if case .stayInsteadOf(let victim) = verdict { closed(victim) }
        connections[id] = Connection(source: source, idleSince: turn)
        counts[source, default: 0] += 1
        return verdict
    }

    /// A request has come by it.
    mutating func began(_ id: ID) { connections[id]?.idleSince = nil }

    /// Its answer has gone out.
    mutating func answered(_ id: ID) {
        turn += 1
        connections[id]?.idleSince = turn
    }

    mutating func closed(_ id: ID) {
        guard let connection = connections.removeValue(forKey: id) else { return }
        let left = counts[connection.source, default: 1] - 1
        counts[connection.source] = left > 0 ? left : nil
    }

    private func oldestIdle(of source: Source) -> ID? { oldestIdle { $0 == source } }

    private func oldestIdleOfTheGreediest() -> ID? {
        let idle = Set(connections.values.lazy.filter { $0.idleSince != nil }.map(\.source))
        let most = idle.map { counts[$0, default: 0] }.max()
        return oldestIdle { counts[$0, default: 0] == most && idle.contains($0) }
    }

    private func oldestIdle(_ matches: (Source) -> Bool) -> ID? {
        var best: (id: ID, since: UInt64)?
        for (id, connection) in connections {
            guard let since = connection.idleSince, matches(connection.source), best.map({ since < $0.since }) ?? true else {
                continue
            }
            best = (id, since)
        }
        return best?.id
    }
}
