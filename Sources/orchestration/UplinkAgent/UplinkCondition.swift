import HostNetwork
import NetworkTypes
import NodeDocument
import Sodium

/// All that an uplink knows of itself, and what follows from it.
struct UplinkCondition: Sendable {
    /// A handshake lives for 180 s (REJECT_AFTER_TIME of WireGuard's protocol page).
    static let freshFor = Duration.seconds(180)

    let ordinal: Int
    /// In force; nil before the first.
    var hash: SHA256Digest?
    var forwards: [Forward] = [] { didSet { targetsVersion &+= 1 } }
    /// Of the forwards that lead to one, by binding.
    var hosts: [String: RelayedHost] = [:]
    var address: IPv4Address?
    /// The relay's, in the tunnel.
    var relayAddress: IPv4Address?
    var rhythm = RelayRhythm()
    /// By which the document in force wants it connected, best first.
    var ways: [TunnelCarrier] = [.wireGuard]
    var links = LinkCondition()
    /// Of the last attempt to apply; nil when it went well.
    var problem: UplinkError?
    /// Of the last look-up of the relay's name; nil when it went well.
    var relayProblem: UplinkError?
    var watcherLives = false
    var isDraining = false
    var wireGuardKind: WireGuardDevice.Kind?
    /// Seconds since 1970; nil when there never was one.
    var lastHandshake: Int64?
    var receivedBytes: UInt64 = 0
    var sentBytes: UInt64 = 0
    /// Bytes that the path carries where that is less than the document's MTU; nil otherwise.
    var pathMTU: Int?
    /// Flows in conntrack, and how many fit; nil where the kernel does not say.
    var trackedConnections: Int?
    var trackedConnectionsLimit: Int?
    /// That conntrack is too small for what comes; nil when it is not.
    var crowding: TrackingRoom.Crowding?
    var counters = Counters()
    /// What was put right last; nil for nothing yet.
    var lastRepair: [HostChange]?
    /// By target.
    var reachability: [ProbeTarget: Reachability] = [:] { didSet { targetsVersion &+= 1 } }
    /// Another whenever `targetReports` may be.
    private(set) var targetsVersion: UInt64 = 0
    /// When the keeper last took something up, by the steady clock; nil before its start.
    var lastBeat: Duration?

    struct Counters: Hashable, Sendable {
        /// Documents and keys put in force.
        var applies: UInt64 = 0
        var failures: UInt64 = 0
        /// What somebody else had changed and was put right, in changes.
        var repairs: UInt64 = 0
    }

    init(ordinal: Int) { self.ordinal = ordinal }

    /// Nil when there never was a handshake. A clock set back counts as now.
    /// - Parameter now: seconds since 1970.
    func handshakeAge(now: Int64) -> Duration? { lastHandshake.map { .seconds(max(0, now - $0)) } }

    /// What holds it up, for a `LivenessAnswer`; nil for nothing.
    var complaint: String? {
        if let problem = problem ?? relayProblem { return problem.description }
        guard !links.isUp else { return nil }
        let troubles = ways.compactMap { way in links.troubles[way].map { (way, $0) } }
        return troubles.isEmpty ? nil : Self.words(troubles)
    }

    /// Why this uplink is not ready; nil when it is: the document is in force, and one way is up.
    func reasonAgainst(_ now: Moment) -> String? {
        if let reason = reasonAgainstAllWays { return reason }
        let troubles = ways.compactMap { way in trouble(of: way, now).map { (way, $0) } }
        guard troubles.count == ways.count else { return nil }
        if ways == [.wireGuard] { return troubles.first?.1 }
        return Self.words(troubles)
    }

    /// The same for the relay when it asks through the tunnel, whose silence is over then.
    /// - Parameter isHeard: whether it is the relay that asks. Then there was a handshake, though the device was not looked at since: the
    ///   look comes once a second, and a session that was begun anew had none before.
    func reasonAgainstItself(_ now: Moment, isHeard: Bool = false) -> String? {
        if let reason = reasonAgainstAllWays ?? hostProblem { return reason }
        return isHeard ? nil : reasonAgainstHandshake(now)
    }

    /// The same for the edge when it asks by a link, which needs nothing of the host.
    var reasonAgainstLinks: String? { reasonAgainstProcess }

    func isTunnelUp(_ now: Moment) -> Bool { ways.contains(.wireGuard) && trouble(of: .wireGuard, now) == nil }

    private var hasLinks: Bool { ways.contains(where: \.isLink) }

    private var reasonAgainstAllWays: String? {
        // Links need nothing of the host.
        hasLinks ? reasonAgainstProcess : reasonAgainstDocument ?? hostProblem ?? reasonAgainstWatcher
    }

    private var reasonAgainstProcess: String? { reasonAgainstDocument ?? reasonAgainstWatcher }

    private var reasonAgainstDocument: String? {
        if isDraining { return "stopping: established connections may end" }
        if case .notListed? = problem { return problem?.description }
        return hash == nil ? problem?.description ?? "no document has been applied yet" : nil
    }

    private var reasonAgainstWatcher: String? {
        watcherLives ? nil : "the watcher of the document and key has ended: changes would not be seen"
    }

    /// What keeps the tunnel from being as it should.
    private var hostProblem: String? {
        switch problem {
        case .host?, .forwardingOff?: problem?.description
        default: nil
        }
    }

    /// Why nothing goes by that way; nil while something may.
    private func trouble(of way: TunnelCarrier, _ now: Moment) -> String? {
        if way.isLink { return links.trouble(of: way) }
        if let reason = hostProblem ?? reasonAgainstHandshake(now) { return reason }
        guard let silence = rhythm.silence(now: now.steady) else { return nil }
        return
            "nothing has come through the tunnel for \(silence.wholeSeconds) s, though the relay asks every second: is the VPS up, and UDP "
            + "to its tunnel port open?"
    }

    private func reasonAgainstHandshake(_ now: Moment) -> String? {
        guard let age = handshakeAge(now: now.wall) else {
            if let relayProblem { return "\(relayProblem)" }
            return "no handshake with the relay yet: is UDP to its tunnel port open, and does it know this uplink's key?"
        }
        guard age > Self.freshFor else { return nil }
        let known = "the last handshake with the relay is \(age.wholeSeconds) s old, more than \(Self.freshFor.wholeSeconds) s"
        return known + (relayProblem.map { "; \($0)" } ?? "")
    }

    private static func words(_ troubles: some Sequence<(TunnelCarrier, String)>) -> String {
        troubles.map { "\($0.rawValue): \($1)" }.joined(separator: "; ")
    }

    /// The ways that are up, best first.
    private func waysUp(_ now: Moment) -> [TunnelCarrier] { ways.filter { trouble(of: $0, now) == nil } }

    /// Why those that are preferred to the best one that is up are not; nil for nothing.
    private func carrierProblem(_ now: Moment) -> String? {
        let troubles = ways.lazy.map { ($0, trouble(of: $0, now)) }.prefix { $0.1 != nil }.map { ($0.0, $0.1 ?? "") }
        return troubles.isEmpty ? nil : Self.words(troubles)
    }

    /// - Parameter withTargets: false leaves them empty.
    func report(_ now: Moment, withTargets: Bool = true) -> UplinkReport {
        let against = reasonAgainst(now)
        var kept: String?
        if against == nil, let problem, let hash {
            kept = hasLinks && hostProblem != nil ? "\(problem)" : "\(problem); the document \(hash) stays in force"
        }
        var report = UplinkReport(
            ordinal: ordinal, hash: hash, ready: against == nil, reason: against ?? kept,
            handshakeAge: handshakeAge(now: now.wall).map(\.wholeSeconds), receivedBytes: receivedBytes &+ links.receivedBytes,
            sentBytes: sentBytes &+ links.sentBytes, wireGuardKind: wireGuardKind?.rawValue, pathMTU: pathMTU,
            targets: withTargets ? targetReports : [], repairs: counters.repairs, lastRepair: lastRepair.map(HostChange.words),
            crowding: crowding?.description)
        report.carriers = waysUp(now)
        report.carrierProblem = hasLinks ? carrierProblem(now) : nil
        return report
    }

    /// All that the forward leads to.
    func probeTargets(of forward: Forward) -> [ProbeTarget] {
        if forward.host != nil { return hosts[forward.binding].map { [ProbeTarget($0)] } ?? [] }
        return forward.targets.map { ProbeTarget(forward.protocol, $0) }
    }

    var targetReports: [TargetReport] {
        forwards.map { forward in
            let states = probeTargets(of: forward).map { reachability[$0] ?? .unknown }
            // One that answers is enough; one that is not known yet may be it.
            let state = states.first { $0.reachable == true } ?? states.first { $0.reachable == nil } ?? states.first
            return TargetReport(binding: forward.binding, reachable: state?.reachable, message: state?.message)
        }
    }

    /// All that a report says but ages and counters: while it is the same, nobody needs to ask for the report again.
    func told(_ now: Moment) -> Told {
        Told(
            hash: hash, isReady: reasonAgainst(now) == nil, problem: problem, relayProblem: relayProblem, isDraining: isDraining,
            hasHandshake: lastHandshake != nil, wireGuardKind: wireGuardKind, pathMTU: pathMTU, crowding: crowding,
            repairs: counters.repairs, waysUp: waysUp(now), linkTroubles: links.troubles, targetsVersion: targetsVersion)
    }

    struct Told: Hashable, Sendable {
        var hash: SHA256Digest?
        var isReady: Bool
        var problem: UplinkError?
        var relayProblem: UplinkError?
        var isDraining: Bool
        var hasHandshake: Bool
        var wireGuardKind: WireGuardDevice.Kind?
        var pathMTU: Int?
        var crowding: TrackingRoom.Crowding?
        var repairs: UInt64
        var waysUp: [TunnelCarrier]
        var linkTroubles: [TunnelCarrier: String]
        var targetsVersion: UInt64
    }
}

/// Whether a target answers.
struct Reachability: Hashable, Sendable {
    /// Nil where it cannot be told.
    var reachable: Bool?
    /// Nil when reachable or unknown.
    var message: String?

    static let answers = Reachability(reachable: true, message: nil)
    static let unknown = Reachability(reachable: nil, message: nil)
    static func fails(_ message: String) -> Reachability { Reachability(reachable: false, message: message) }
}
