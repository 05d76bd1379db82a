import NetworkTypes
import NodeDocument

/// A target as the prober sees it; several bindings may share one.
struct ProbeTarget: Hashable, Sendable {
    let transport: TransportProtocol
    let address: IPv4Address
    let port: Port

    init(_ transport: TransportProtocol, _ endpoint: Endpoint) {
        self.transport = transport
        address = endpoint.address
        port = endpoint.port
    }

    /// All that the forward leads to.
    static func all(of forward: Forward) -> [ProbeTarget] { forward.targets.map { ProbeTarget(forward.protocol, $0) } }
}

/// Which target is probed when: new ones at once, failing ones often, the others by turns, and never more a second than the budget,
/// whatever the number of bindings.
///
/// Times are milliseconds of any steady clock.
struct ProbeSchedule: Sendable {
    /// Milliseconds between two probes of a target that answers, where there are few.
    static let interval: Int64 = 10_000
    /// The same of one that does not: it is to be noticed when it is back.
    static let retry: Int64 = 1_000
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
        var due: Int64
    }

    private var entries: [ProbeTarget: Entry] = [:]
    /// What each was when its probe began; also those that are no longer wanted.
    private var inFlight: [ProbeTarget: Kind] = [:]
    private var newTokens = Tokens(perSecond: newPerSecond, atOnce: maximumNew)
    private var tokens = Tokens(perSecond: probesPerSecond, atOnce: 10)
    private var turn: Int64 = 0

    /// - Returns: the targets that are no longer there, whose results are void.
    mutating func set(_ targets: Set<ProbeTarget>, now: Int64) -> [ProbeTarget] {
        let gone = entries.keys.filter { !targets.contains($0) }
        for target in gone { entries[target] = nil }
        for target in targets where entries[target] == nil { entries[target] = Entry(kind: .new, due: now) }
        return gone
    }

    /// The targets to be probed now; they count as in flight until `finished`.
    mutating func take(now: Int64) -> [ProbeTarget] {
        var due: [Kind: [(target: ProbeTarget, due: Int64)]] = [:]
        for (target, entry) in entries where entry.due <= now && inFlight[target] == nil {
            due[entry.kind, default: []].append((target, entry.due))
        }
        var taken: [ProbeTarget] = []
        let intervals = self.intervals
        newTokens.pass(to: now)
        tokens.pass(to: now)
        func room(_ kind: Kind, _ most: Int) -> Int { most - inFlight.values.lazy.filter { $0 == kind }.count }
        let new = due[.new] ?? []
        taken += new.prefix(newTokens.take(atMost: min(room(.new, Self.maximumNew), new.count))).map(\.target)
        // Who has waited longest comes first, of either kind.
        var places = [
            Kind.failing: room(.failing, Self.maximumRetries), .answering: room(.answering, Self.maximumOthers),
        ]
        let others = ((due[.failing] ?? []).map { ($0, Kind.failing) } + (due[.answering] ?? []).map { ($0, Kind.answering) })
            .sorted { $0.0.due < $1.0.due }
        for (candidate, kind) in others where places[kind, default: 0] > 0 {
            guard tokens.take(atMost: 1) == 1 else { break }
            places[kind, default: 0] -= 1
            taken.append(candidate.target)
        }
        for target in taken {
            guard let kind = entries[target]?.kind else { continue }
            inFlight[target] = kind
            let again = now + spread(kind == .failing ? intervals.failing : intervals.answering)
            entries[target]?.due = again
        }
        return taken
    }

    /// - Parameter fails: whether the target does not answer.
    /// - Returns: whether the result still counts.
    mutating func finished(_ target: ProbeTarget, fails: Bool, now: Int64) -> Bool {
        inFlight[target] = nil
        guard let former = entries[target] else { return false }
        if fails {
            entries[target] = Entry(kind: .failing, due: now + spread(intervals.failing))
        } else {
            entries[target]?.kind = .answering
            // What failed for the same cause is back with it.
            if former.kind == .failing {
                for (other, entry) in entries where entry.kind == .failing && entry.due > now { entries[other]?.due = now }
            }
        }
        return true
    }

    /// Milliseconds until a target is due, which may have to wait for others to end; nil without targets.
    func wait(now: Int64) -> Int64? { entries.values.lazy.map(\.due).min().map { max(0, $0 - now) } }

    private var intervals: (failing: Int64, answering: Int64) {
        let failing = entries.values.lazy.filter { $0.kind == .failing }.count
        let retries = min(failing, Self.retriesPerSecond)
        return (
            max(Self.retry, Int64(failing) * 1000 / Int64(Self.retriesPerSecond)),
            max(Self.interval, Int64(entries.count - failing) * 1000 / Int64(Self.probesPerSecond - retries))
        )
    }

    /// A fifth more or less by turns, so that targets that began together drift apart.
    private mutating func spread(_ interval: Int64) -> Int64 {
        turn = (turn + 7) % 41
        return interval * (80 + turn) / 100
    }
}

/// A bucket that fills at a steady rate.
private struct Tokens: Sendable {
    private let perSecond: Int64
    private let most: Int64
    /// Thousandths.
    private var level: Int64
    private var at: Int64?

    init(perSecond: Int, atOnce: Int) {
        self.perSecond = Int64(perSecond)
        most = Int64(atOnce) * 1000
        level = most
    }

    mutating func pass(to now: Int64) {
        if let at { level = min(most, level + max(0, now - at) * perSecond) }
        at = now
    }

    /// - Returns: how many there are, of those that are wanted.
    mutating func take(atMost wanted: Int) -> Int {
        let count = min(Int64(max(0, wanted)), level / 1000)
        level -= count * 1000
        return Int(count)
    }
}
