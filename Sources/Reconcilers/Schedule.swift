/// Decides which key is worked on when: the pure heart of a `WorkQueue`.
///
/// Its promises are controller-runtime's: a key that is added many times is handled once; a key is never handled twice at the
/// same time; one that is added while it is being handled is handled once more afterwards; a key that fails waits longer each
/// time, up to `maximumBackoff`, and one success ends that. Whose key is next of several that are due says `FairShares`.
struct Schedule<Key: Hashable & Comparable & Sendable> {
    typealias Instant = ContinuousClock.Instant

    enum Step: Equatable {
        /// `waited` is how long it could have been started already.
        case start(Key, waited: Duration)
        /// Nothing to do before this time, or before something is added or ends; nil when nothing is planned.
        case wait(until: Instant?)
    }

    private struct Plan {
        var at: Instant
        var share: WorkShare
    }

    private struct Run {
        var begin: Instant
        var share: WorkShare
        var isAside: Bool
    }

    /// How the last run of a key went; nothing where that is unknown.
    private enum Pace { case quick, slow }

    private var due: [Key: Plan] = [:]
    private var running: [Key: Run] = [:]
    private var paces: [Key: Pace] = [:]
    private var failures: [Key: Int] = [:]
    /// The number of each tenant's last start.
    private var turns: [String: UInt64] = [:]
    private var lastTurn: UInt64 = 0
    private let concurrency: Int
    private let firstBackoff: Duration
    private let maximumBackoff: Duration
    private let shares: FairShares

    init(
        concurrency: Int, firstBackoff: Duration = .milliseconds(500), maximumBackoff: Duration = .seconds(180),
        shares: FairShares = .byTenant
    ) {
        self.concurrency = max(1, concurrency)
        self.firstBackoff = firstBackoff
        self.maximumBackoff = maximumBackoff
        self.shares = shares
    }

    /// Keys that could be started.
    func depth(at now: Instant) -> Int { due.values.count { $0.at <= now } }
    var runningCount: Int { running.count }
    /// Of the running ones, those without a place.
    var asideCount: Int { running.values.count { $0.isAside } }

    /// The earlier time wins where a key is planned already.
    /// - Returns: whether it was not.
    @discardableResult mutating func add(_ key: Key, at time: Instant, share: WorkShare = WorkShare()) -> Bool {
        let planned = due[key]
        if let planned, planned.at <= time { return false }
        due[key] = Plan(at: time, share: share)
        return planned == nil
    }

    mutating func next(now: Instant) -> Step {
        setAside(now: now)
        let crowd = Crowd(running.values)
        let hasPlace = crowd.inPlace < concurrency
        var best: Candidate?
        var until: Instant?
        var isHeldUp = false
        for (key, plan) in due where running[key] == nil {
            let pace = paces[key]
            guard pace == .slow ? hasPlaceAside(plan.share, crowd) : hasPlace else {
                isHeldUp = isHeldUp || pace != .slow
                continue
            }
            // The end of one of its own tells when to look again.
            if pace != .slow, !hasRoomAside(plan.share, crowd) { continue }
            guard plan.at <= now else {
                until = min(until ?? plan.at, plan.at)
                continue
            }
            let candidate = Candidate(
                key: key, plan: plan, runs: crowd.inPlaceOfTenant[plan.share.tenant] ?? 0, turn: turns[plan.share.tenant] ?? 0,
                rank: pace == .quick ? plan.at - shares.headStart : plan.at)
            if best.map({ candidate < $0 }) ?? true { best = candidate }
        }
        guard let best else {
            if isHeldUp, let freed = nextFreed(crowd) { until = min(until ?? freed, freed) }
            return .wait(until: until)
        }
        start(best, now: now)
        return .start(best.key, waited: now - best.plan.at)
    }

    mutating func finish(_ key: Key, outcome: ReconcileOutcome, now: Instant) {
        let run = running.removeValue(forKey: key)
        if shares.patience != nil, let run { paces[key] = now - run.begin > shares.slowness ? .slow : .quick }
        switch outcome {
        case .done(let requeueAfter):
            failures[key] = nil
            // One that is not looked at again may be gone for good.
            guard let requeueAfter else { return paces[key] = nil }
            add(key, at: now + requeueAfter, share: run?.share ?? WorkShare())
        case .failed:
            let count = failures[key, default: 0]
            failures[key] = count + 1
            add(key, at: now + backoff(count), share: run?.share ?? WorkShare())
        }
    }

    private func backoff(_ failuresBefore: Int) -> Duration {
        let factor = Int64(1) << Int64(min(failuresBefore, 20))
        return min(firstBackoff * Int(factor), maximumBackoff)
    }

    // MARK: places

    /// Gives on the places of those that take long.
    private mutating func setAside(now: Instant) {
        guard let patience = shares.patience else { return }
        var free = shares.mostAside - asideCount
        for (key, run) in running where !run.isAside && run.begin + patience <= now && free > 0 {
            running[key]?.isAside = true
            free -= 1
        }
    }

    /// When the first place is given on, where that can be.
    private func nextFreed(_ crowd: Crowd) -> Instant? {
        guard let patience = shares.patience, crowd.aside < shares.mostAside else { return nil }
        return running.values.lazy.filter { !$0.isAside }.map { $0.begin + patience }.min()
    }

    private func hasPlaceAside(_ share: WorkShare, _ crowd: Crowd) -> Bool {
        crowd.aside < shares.mostAside && (crowd.asideOfTenant[share.tenant] ?? 0) < shares.mostOfTenant
            && (crowd.asideOfHost[share] ?? 0) < shares.mostOfHost
    }

    /// Whether one more of the tenant's may come to be set aside: half of all is one tenant's at most, a third each of two, and so on. Who has
    /// none may always begin one.
    private func hasRoomAside(_ share: WorkShare, _ crowd: Crowd) -> Bool {
        guard shares.patience != nil else { return true }
        let own = (crowd.asideOfTenant[share.tenant] ?? 0) + (crowd.inPlaceOfTenant[share.tenant] ?? 0)
        return own == 0 || own < shares.mostAside - crowd.aside
    }

    private mutating func start(_ candidate: Candidate, now: Instant) {
        due[candidate.key] = nil
        running[candidate.key] = Run(begin: now, share: candidate.plan.share, isAside: paces[candidate.key] == .slow)
        lastTurn += 1
        turns[candidate.plan.share.tenant] = lastTurn
        // Tenants come and go; who has nothing to do may as well begin anew.
        guard turns.count > 1024 else { return }
        let present = Set(due.values.map(\.share.tenant)).union(running.values.map(\.share.tenant))
        if turns.count > 2 * present.count { turns = turns.filter { present.contains($0.key) } }
    }

    /// Who runs, counted.
    private struct Crowd {
        var inPlace = 0
        var aside = 0
        var inPlaceOfTenant: [String: Int] = [:]
        var asideOfTenant: [String: Int] = [:]
        var asideOfHost: [WorkShare: Int] = [:]

        init(_ runs: some Sequence<Run>) {
            for run in runs {
                guard run.isAside else {
                    inPlace += 1
                    inPlaceOfTenant[run.share.tenant, default: 0] += 1
                    continue
                }
                aside += 1
                asideOfTenant[run.share.tenant, default: 0] += 1
                asideOfHost[run.share, default: 0] += 1
            }
        }
    }

    /// Smaller goes first.
    private struct Candidate: Comparable {
        var key: Key
        var plan: Plan
        var runs: Int
        var turn: UInt64
        var rank: Instant

        static func == (a: Self, b: Self) -> Bool { a.key == b.key }
        static func < (a: Self, b: Self) -> Bool {
            (a.runs, a.turn, a.rank, a.key) < (b.runs, b.turn, b.rank, b.key)
        }
    }
}

/// How a reconcile ended.
public enum ReconcileOutcome: Equatable, Sendable {
    /// All is done; look again after that long, or only when something changes when nil.
    case done(requeueAfter: Duration?)
    /// To be tried again with backoff.
    case failed
}
