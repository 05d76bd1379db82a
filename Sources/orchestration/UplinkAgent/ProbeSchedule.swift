import HeapModule
import NetworkTypes
import NodeDocument

/// A target as the prober sees it; several bindings may share one.
struct ProbeTarget: Hashable, Sendable {
    enum Place: Hashable, Sendable {
        case endpoint(Endpoint)
        case host(RelayedHost)
    }

    let transport: TransportProtocol
    let place: Place

    init(_ transport: TransportProtocol, _ endpoint: Endpoint) {
        self.transport = transport
        place = .endpoint(endpoint)
    }

    init(_ host: RelayedHost) {
        transport = host.transport
        place = .host(host)
    }
}

extension ProbeTarget: CustomStringConvertible {
    var description: String {
        switch place {
        case .endpoint(let endpoint): "\(transport) \(endpoint)"
        case .host(let host): "\(transport) \(host)"
        }
    }
}

/// Which target is probed when: new ones at once, failing ones often, the others by turns, and never more a second than the budget,
/// whatever the number of bindings.
///
/// Times are of any steady clock. A start costs the logarithm of the number of targets.
struct ProbeSchedule: Sendable {
    /// Between two probes of a target that answers, where there are few.
    static let interval = Duration.seconds(10)
    /// The same of one that does not: it is to be noticed when it is back.
    static let retry = Duration.seconds(1)
    /// Each probe leaves a connection in TIME_WAIT for a minute, so their rate is bounded: 3,000 of 28,000 local ports.
    static let probesPerSecond = 50
    /// Of those, for targets that fail.
    static let retriesPerSecond = 25
    /// Beside those, for targets never seen before: the first verdict on 5,000 takes 20 s.
    static let newPerSecond = 250
    /// A target that swallows packets holds a place for as long as a probe waits, so each kind has its own.
    static let maximumNew = 64
    static let maximumRetries = 32
    static let maximumOthers = 32
    static let maximumInFlight = maximumNew + maximumRetries + maximumOthers

    private enum Kind: Hashable, Sendable {
        case new
        case failing
        case answering
    }

    private struct Entry: Sendable {
        var kind: Kind
        var due: Duration
    }

    private struct Planned: Comparable, Sendable {
        var due: Duration
        var target: ProbeTarget

        static func < (a: Self, b: Self) -> Bool { a.due < b.due }
    }

    private var entries: [ProbeTarget: Entry] = [:]
    /// Of `entries`, those that fail.
    private var failing = 0
    /// Those of `entries` that are not in flight, by their kind.
    private var planned: [Kind: Heap<Planned>] = [:]
    /// What each was when its probe began; also those that are no longer wanted.
    private var inFlight: [ProbeTarget: Kind] = [:]
    private var newTokens = Tokens(perSecond: newPerSecond, atOnce: maximumNew)
    private var tokens = Tokens(perSecond: probesPerSecond, atOnce: 10)
    private var turn = 0

    /// - Returns: the targets that are no longer there, whose results are void.
    mutating func set(_ targets: Set<ProbeTarget>, now: Duration) -> [ProbeTarget] {
        let gone = entries.keys.filter { !targets.contains($0) }
        for target in gone { entries[target] = nil }
        for target in targets where entries[target] == nil { entries[target] = Entry(kind: .new, due: now) }
        failing = entries.values.count { $0.kind == .failing }
        let waiting = entries.filter { inFlight[$0.key] == nil }
        planned = Dictionary(grouping: waiting, by: \.value.kind).mapValues { entries in
            Heap(entries.map { Planned(due: $0.value.due, target: $0.key) })
        }
        return gone
    }

    /// The targets to be probed now; they count as in flight until `finished`.
    mutating func take(now: Duration) -> [ProbeTarget] {
        var taken: [ProbeTarget] = []
        newTokens.pass(to: now)
        tokens.pass(to: now)
        var places = [
            Kind.new: Self.maximumNew, .failing: Self.maximumRetries, .answering: Self.maximumOthers,
        ]
        for kind in inFlight.values { places[kind, default: 0] -= 1 }
        func next(_ kind: Kind) -> Duration? {
            guard places[kind, default: 0] > 0, let due = planned[kind]?.min?.due, due <= now else { return nil }
            return due
        }
        func begin(_ kind: Kind) {
            guard let target = planned[kind]?.popMin()?.target else { return }
            places[kind, default: 0] -= 1
            inFlight[target] = kind
            let again = now + spread(kind == .failing ? intervals.failing : intervals.answering)
            entries[target]?.due = again
            taken.append(target)
        }
        while next(.new) != nil, newTokens.take() { begin(.new) }
        // Who has waited longest comes first, of either kind.
        while true {
            let due = [Kind.failing, .answering].compactMap { kind in next(kind).map { (kind: kind, since: $0) } }
            guard let first = due.min(by: { $0.since < $1.since }), tokens.take() else { break }
            begin(first.kind)
        }
        return taken
    }

    /// - Parameter fails: whether the target does not answer.
    /// - Returns: whether the result still counts.
    mutating func finished(_ target: ProbeTarget, fails: Bool, now: Duration) -> Bool {
        inFlight[target] = nil
        guard var entry = entries[target] else { return false }
        let hasFailed = entry.kind == .failing
        failing += (fails ? 1 : 0) - (hasFailed ? 1 : 0)
        entry.kind = fails ? .failing : .answering
        if fails { entry.due = now + spread(intervals.failing) }
        entries[target] = entry
        planned[entry.kind, default: []].insert(Planned(due: entry.due, target: target))
        // What failed for the same cause is back with it.
        if hasFailed, !fails { recall(now) }
        return true
    }

    /// Makes all due that fail. Only those that were probed since the last time are not.
    private mutating func recall(_ now: Duration) {
        while let last = planned[.failing]?.max, last.due > now {
            planned[.failing]?.replaceMax(with: Planned(due: now, target: last.target))
            entries[last.target]?.due = now
        }
    }

    /// Until a target is due, which may have to wait for others to end; nil where none is to be probed before another has ended.
    func wait(now: Duration) -> Duration? { planned.values.compactMap(\.min?.due).min().map { max(.zero, $0 - now) } }

    private var intervals: (failing: Duration, answering: Duration) {
        let retries = min(failing, Self.retriesPerSecond)
        return (
            max(Self.retry, .seconds(failing) / Self.retriesPerSecond),
            max(Self.interval, .seconds(entries.count - failing) / (Self.probesPerSecond - retries))
        )
    }

    /// A fifth more or less by turns, so that targets that began together drift apart.
    private mutating func spread(_ interval: Duration) -> Duration {
        turn = (turn + 7) % 41
        return interval * (80 + turn) / 100
    }
}

/// A bucket that fills at a steady rate.
private struct Tokens: Sendable {
    private let perSecond: Int
    private let most: Duration
    /// The time in which that many come.
    private var level: Duration
    private var at: Duration?

    init(perSecond: Int, atOnce: Int) {
        self.perSecond = perSecond
        most = .seconds(atOnce) / perSecond
        level = most
    }

    mutating func pass(to now: Duration) {
        if let at { level = min(most, level + max(.zero, now - at)) }
        at = now
    }

    /// - Returns: whether there was one.
    mutating func take() -> Bool {
        let one = Duration.seconds(1) / perSecond
        guard level >= one else { return false }
        level -= one
        return true
    }
}
