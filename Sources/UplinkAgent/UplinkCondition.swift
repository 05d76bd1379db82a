import NetworkTypes
import NodeDocument
import Sodium

/// All that an uplink knows of itself, and what follows from it.
struct UplinkCondition: Sendable {
    /// A handshake lives for 180 s (REJECT_AFTER_TIME of WireGuard's protocol page).
    static let freshFor: Int64 = 180

    let ordinal: Int
    /// In force; nil before the first.
    var hash: SHA256Digest?
    var forwards: [Forward] = []
    var address: IPv4Address?
    /// Of the last attempt to apply; nil when it went well.
    var problem: UplinkError?
    /// Of the last look-up of the relay's name; nil when it went well.
    var relayProblem: UplinkError?
    var watcherLives = false
    var isDraining = false
    /// `kernel` or `userspace`.
    var wireGuardKind: String?
    /// Seconds since 1970; nil when there never was one.
    var lastHandshake: Int64?
    var receivedBytes: UInt64 = 0
    var sentBytes: UInt64 = 0
    /// Bytes that the path carries where that is less than the document's MTU; nil otherwise.
    var pathMTU: Int?
    /// Flows in conntrack, and how many fit; nil where the kernel does not say.
    var trackedConnections: Int?
    var trackedConnectionsLimit: Int?
    var counters = Counters()
    /// What was put right last, in words; nil for nothing yet.
    var lastRepair: String?
    /// By target.
    var reachability: [ProbeTarget: Reachability] = [:]

    struct Counters: Hashable, Sendable {
        /// Documents and keys put in force.
        var applies: UInt64 = 0
        var failures: UInt64 = 0
        /// What somebody else had changed and was put right, in changes.
        var repairs: UInt64 = 0
    }

    init(ordinal: Int) { self.ordinal = ordinal }

    /// Seconds; nil when there never was a handshake. A clock set back counts as now.
    func handshakeAge(now: Int64) -> Int64? { lastHandshake.map { max(0, now - $0) } }

    /// Why Envoy must not send traffic here; nil when it may.
    /// - Parameter now: seconds since 1970.
    func reasonAgainst(now: Int64) -> String? {
        if isDraining { return "stopping: established connections may end" }
        if case .notListed? = problem { return problem?.description }
        guard hash != nil else { return problem?.description ?? "no document has been applied yet" }
        if case .host? = problem { return problem?.description }
        if case .forwardingOff? = problem { return problem?.description }
        if !watcherLives { return "the watcher of the document and key has ended: changes would not be seen" }
        guard let age = handshakeAge(now: now) else {
            if let relayProblem { return "\(relayProblem)" }
            return "no handshake with the relay yet: is UDP to its tunnel port open, and does it know this uplink's key?"
        }
        guard age > Self.freshFor else { return nil }
        let known = "the last handshake with the relay is \(age) s old, more than \(Self.freshFor) s"
        return known + (relayProblem.map { "; \($0)" } ?? "")
    }

    /// - Parameter now: seconds since 1970.
    func report(now: Int64) -> UplinkReport {
        let against = reasonAgainst(now: now)
        var kept: String?
        if against == nil, let problem, let hash { kept = "\(problem); the document \(hash) stays in force" }
        return UplinkReport(
            ordinal: ordinal, hash: hash, ready: against == nil, reason: against ?? kept,
            handshakeAge: handshakeAge(now: now).map(Int.init), receivedBytes: receivedBytes, sentBytes: sentBytes,
            wireGuardKind: wireGuardKind, pathMTU: pathMTU,
            targets: forwards.map { forward in
                let state = reachability[ProbeTarget(forward)]
                return TargetReport(binding: forward.binding, reachable: state?.reachable, message: state?.message)
            }, repairs: counters.repairs, lastRepair: lastRepair)
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
