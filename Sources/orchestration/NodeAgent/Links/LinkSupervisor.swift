/// Decides when link programs are started and ended; `RunLink` does it. One serves. Asked for a new one, it starts that beside it, at the
/// same doors, and ends the former when the new one has lived for a second: one that cannot serve changes nothing.
///
/// All times are milliseconds of one clock that never steps.
struct LinkSupervisor {
    enum Event {
        case tick
        case started(pid: Int32)
        case notStarted
        case ended(pid: Int32)
        case restartAsked
        case stopAsked
    }

    enum Action: Hashable {
        case start
        /// It takes nothing new, and ends after its last connection.
        case terminate(Int32)
        /// The same, once its uplinks have links to the one that follows.
        case replace(Int32)
        case kill(Int32)
        /// All is over.
        case exit
    }

    /// Seconds that a program may take to end; it gives its connections thirty, or five where none follows.
    static let patience = 32
    /// How long a new one must live.
    private static let trial: Int64 = 1000
    /// Between two starts.
    private static let pause: Int64 = 1000
    /// Between two tries to start one beside the one that serves, at most; each failure doubles it from `pause`.
    private static let longestPause: Int64 = 60_000

    private(set) var serving: Int32?
    private(set) var candidate: (pid: Int32, begun: Int64)?
    /// And when they are to be killed.
    private(set) var draining: [Int32: Int64] = [:]
    private var isStarting = false
    private var startDue: Int64 = 0
    private var wantsAnother = false
    /// In a row, of starts beside one that serves.
    private var failures = 0
    private var anotherDue: Int64 = 0
    private var isStopping = false

    init() {}

    mutating func handle(_ event: Event, now: Int64) -> [Action] {
        var actions: [Action] = []
        switch event {
        case .tick: break
        case .started(let pid):
            isStarting = false
            if isStopping {
                actions.append(end(pid, now))
            } else if serving == nil {
                serving = pid
            } else {
                candidate = (pid, now)
            }
        case .notStarted:
            isStarting = false
            if serving != nil { tryAgain(now) }
        case .ended(let pid):
            if draining.removeValue(forKey: pid) != nil { break }
            if candidate?.pid == pid {
                candidate = nil
                tryAgain(now)
            }
            if serving == pid {
                serving = candidate?.pid
                candidate = nil
            }
        case .restartAsked: (wantsAnother, failures, anotherDue) = (true, 0, now)
        case .stopAsked:
            isStopping = true
            for pid in draining.keys.sorted() { actions.append(.terminate(pid)) }
            for pid in [serving, candidate?.pid].compactMap({ $0 }) { actions.append(end(pid, now)) }
            (serving, candidate) = (nil, nil)
        }
        if let candidate, now - candidate.begun >= Self.trial {
            if let serving {
                _ = end(serving, now)
                actions.append(.replace(serving))
            }
            serving = candidate.pid
            (self.candidate, failures) = (nil, 0)
        }
        for (pid, end) in draining.sorted(by: { $0.key < $1.key }) where now >= end { actions.append(.kill(pid)) }
        if isStopping { return actions + (draining.isEmpty && !isStarting ? [.exit] : []) }
        if !isStarting, candidate == nil, now >= startDue, serving == nil || wantsAnother && now >= anotherDue {
            (isStarting, wantsAnother, startDue) = (true, false, now + Self.pause)
            actions.append(.start)
        }
        return actions
    }

    /// The one that serves is not the one that should: what kept the other may be over soon.
    private mutating func tryAgain(_ now: Int64) {
        wantsAnother = true
        failures += 1
        anotherDue = now + min(Self.pause << min(failures, 6), Self.longestPause)
    }

    private mutating func end(_ pid: Int32, _ now: Int64) -> Action {
        draining[pid] = now + Int64(Self.patience) * 1000
        return .terminate(pid)
    }
}
