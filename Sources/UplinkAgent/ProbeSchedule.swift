import NetworkTypes
import NodeDocument

/// A target as the prober sees it; several bindings may share one.
struct ProbeTarget: Hashable, Sendable {
    let transport: TransportProtocol
    let address: IPv4Address
    let port: Port

    init(_ forward: Forward) {
        transport = forward.protocol
        address = forward.target
        port = forward.targetPort
    }
}

/// Which target is probed when: new ones at once, each again after the interval, never too many at a time or a second.
///
/// Times are milliseconds of any steady clock.
struct ProbeSchedule: Sendable {
    /// Milliseconds between two probes of a target, where there are few.
    static let interval: Int64 = 10_000
    static let maximumInFlight = 64
    /// Each probe leaves a connection in TIME_WAIT for a minute, so their rate is bounded: 3,000 of 28,000 local ports.
    static let probesPerSecond = 50

    private var due: [ProbeTarget: Int64] = [:]
    private var inFlight: Set<ProbeTarget> = []
    private var turn: Int64 = 0

    /// - Returns: the targets that are no longer there, whose results are void.
    mutating func set(_ targets: Set<ProbeTarget>, now: Int64) -> [ProbeTarget] {
        let gone = due.keys.filter { !targets.contains($0) }
        for target in gone { due[target] = nil }
        for target in targets where due[target] == nil { due[target] = now }
        return gone
    }

    /// The targets to be probed now; they count as in flight until `finished`.
    mutating func take(now: Int64) -> [ProbeTarget] {
        let room = Self.maximumInFlight - inFlight.count
        guard room > 0 else { return [] }
        let ready = due.filter { $0.value <= now && !inFlight.contains($0.key) }
            .sorted { $0.value < $1.value }.prefix(room).map(\.key)
        for target in ready {
            inFlight.insert(target)
            due[target] = now + spread(interval(of: due.count))
        }
        return ready
    }

    /// - Returns: whether the result still counts.
    mutating func finished(_ target: ProbeTarget) -> Bool {
        inFlight.remove(target)
        return due[target] != nil
    }

    /// Milliseconds until a target is due, which may have to wait for others to end; nil without targets.
    func wait(now: Int64) -> Int64? { due.values.min().map { max(0, $0 - now) } }

    private func interval(of count: Int) -> Int64 { max(Self.interval, Int64(count) * 1000 / Int64(Self.probesPerSecond)) }

    /// A fifth more or less by turns, so that targets that began together drift apart.
    private mutating func spread(_ interval: Int64) -> Int64 {
        turn = (turn + 7) % 41
        return interval * (80 + turn) / 100
    }
}
