import HeapModule

/// Decides which key is worked on when: the pure heart of a `WorkQueue`.
///
/// Its promises are controller-runtime's: a key that is added many times is handled once; a key is never handled twice at the
/// same time; one that is added while it is being handled is handled once more afterwards; a key that fails waits longer each
/// time, up to `maximumBackoff`, and one success ends that. Whose key is next of several that are due says `FairShares`.
///
/// A start costs a look at each tenant with something due, and the logarithm of the number of keys.
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

    /// A plan as the heaps hold it; void where another has taken its place in `plans`.
    private struct Entry: Comparable {
        /// What is compared first.
        var rank: Instant
        var at: Instant
        var key: Key

        static func < (a: Self, b: Self) -> Bool { (a.rank, a.key) < (b.rank, b.key) }
    }

    /// What of a tenant is due.
    private struct Queue {
        var ordinary: Heap<Entry> = []
        /// Of those that were slow, by host.
        var slow: [String: Heap<Entry>] = [:]
    }

    private var plans: [Key: Plan] = [:]
    /// Those of `plans` that do not run and are not due yet, by whether they were slow.
    private var later: [Bool: Heap<Entry>] = [:]
    /// Those of `plans` that do not run and are due, by tenant.
    private var ready: [String: Queue] = [:]
    private var running: [Key: Run] = [:]
    private var paces: [Key: Pace] = [:]
    private var failures: [Key: Int] = [:]
    /// The number of each tenant's last start.
    private var turns: [String: UInt64] = [:]
    private var lastTurn: UInt64 = 0
    /// How many are kept before those of tenants that have gone are forgotten.
    private var mostTurns = 1024
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
    func depth(at now: Instant) -> Int { plans.values.count { $0.at <= now } }
    var runningCount: Int { running.count }
    /// Of the running ones, those without a place.
    var asideCount: Int { running.values.count { $0.isAside } }

    /// What the heaps hold, void or not.
    var heldCount: Int { later.values.reduce(0) { $0 + $1.count } + ready.values.reduce(0) { $0 + $1.ordinary.count } }

    /// The earlier time wins where a key is planned already.
    /// - Returns: whether it was not.
    @discardableResult mutating func add(_ key: Key, at time: Instant, share: WorkShare = WorkShare()) -> Bool {
        let isNew = plans[key] == nil
        if plan(key, at: time, share) { enqueue(key) }
        return isNew
    }

    /// - Returns: whether the plan is another now.
    @discardableResult private mutating func plan(_ key: Key, at time: Instant, _ share: WorkShare) -> Bool {
        if let planned = plans[key], planned.at <= time { return false }
        plans[key] = Plan(at: time, share: share)
        return true
    }

    mutating func next(now: Instant) -> Step {
        setAside(now: now)
        ripen(now: now)
        let crowd = Crowd(running.values)
        let hasPlace = crowd.inPlace < concurrency
        var best: Candidate?
        var isHeldUp = false
        func consider(_ entry: Entry?, _ share: WorkShare) {
            guard let entry else { return }
            let candidate = Candidate(
                entry: entry, share: share, runs: crowd.inPlaceOfTenant[share.tenant] ?? 0, turn: turns[share.tenant] ?? 0)
            if best.map({ candidate < $0 }) ?? true { best = candidate }
        }
        for tenant in Array(ready.keys) {
            let ordinary = first(tenant)
            if !hasPlace {
                isHeldUp = isHeldUp || ordinary != nil
            } else if hasRoomAside(WorkShare(tenant: tenant), crowd) {
                consider(ordinary, WorkShare(tenant: tenant))
            }
            // Without that room the end of one of its own tells when to look again.
            for host in ready[tenant].map({ Array($0.slow.keys) }) ?? [] {
                let share = WorkShare(tenant: tenant, host: host)
                if hasPlaceAside(share, crowd) { consider(first(tenant, slowOn: host), share) }
            }
        }
        guard let best else { return .wait(until: wakeUp(crowd, isHeldUp: isHeldUp)) }
        start(best, now: now)
        return .start(best.entry.key, waited: now - best.entry.at)
    }

    mutating func finish(_ key: Key, outcome: ReconcileOutcome, now: Instant) {
        let run = running.removeValue(forKey: key)
        if shares.patience != nil, let run { paces[key] = now - run.begin > shares.slowness ? .slow : .quick }
        // Also what was added while it ran.
        defer { enqueue(key) }
        switch outcome {
        case .done(let requeueAfter):
            failures[key] = nil
            // One that is not looked at again may be gone for good.
            guard let requeueAfter else { return paces[key] = nil }
            plan(key, at: now + requeueAfter, run?.share ?? WorkShare())
        case .failed:
            let count = failures[key, default: 0]
            failures[key] = count + 1
            plan(key, at: now + backoff(count), run?.share ?? WorkShare())
        }
    }

    private func backoff(_ failuresBefore: Int) -> Duration {
        let factor = Int64(1) << Int64(min(failuresBefore, 20))
        return min(firstBackoff * Int(factor), maximumBackoff)
    }

    // MARK: heaps

    private mutating func enqueue(_ key: Key) {
        guard let plan = plans[key], running[key] == nil else { return }
        let isSlow = paces[key] == .slow
        later[isSlow, default: []].insert(Entry(rank: plan.at, at: plan.at, key: key))
        // Each that is planned anew leaves a void one, until its time comes.
        guard let heap = later[isSlow], heap.count > 2 * plans.count + 1024 else { return }
        later[isSlow] = Heap(heap.unordered.filter { !isVoid($0) })
    }

    private func isVoid(_ entry: Entry) -> Bool { running[entry.key] != nil || plans[entry.key]?.at != entry.at }

    /// Moves what has become due.
    private mutating func ripen(now: Instant) {
        for isSlow in [false, true] {
            while let entry = later[isSlow]?.min, entry.at <= now || isVoid(entry) {
                later[isSlow]?.removeMin()
                guard !isVoid(entry), let share = plans[entry.key]?.share else { continue }
                if isSlow {
                    ready[share.tenant, default: Queue()].slow[share.host, default: []].insert(entry)
                } else {
                    let headStart = paces[entry.key] == .quick ? shares.headStart : .zero
                    ready[share.tenant, default: Queue()].ordinary.insert(
                        Entry(rank: entry.at - headStart, at: entry.at, key: entry.key))
                }
            }
        }
    }

    /// The first that is due of a tenant, or of its slow ones on a host; what is empty goes.
    private mutating func first(_ tenant: String, slowOn host: String? = nil) -> Entry? {
        guard var queue = ready.removeValue(forKey: tenant) else { return nil }
        var heap: Heap<Entry> = []
        if let host { heap = queue.slow.removeValue(forKey: host) ?? [] } else { swap(&heap, &queue.ordinary) }
        while let entry = heap.min, isVoid(entry) { heap.removeMin() }
        let first = heap.min
        if host == nil { swap(&heap, &queue.ordinary) } else if let host, first != nil { queue.slow[host] = heap }
        if !queue.ordinary.isEmpty || !queue.slow.isEmpty { ready[tenant] = queue }
        return first
    }

    /// When something can be started that cannot be now; nil where only an end or another key can bring that.
    private func wakeUp(_ crowd: Crowd, isHeldUp: Bool) -> Instant? {
        let hasPlace = crowd.inPlace < concurrency
        let freed = hasPlace || !(isHeldUp || later[false]?.min != nil) ? nil : nextFreed(crowd)
        let due = [hasPlace ? later[false]?.min?.at : nil, crowd.aside < shares.mostAside ? later[true]?.min?.at : nil]
        return (due + [freed]).compactMap { $0 }.min()
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
        let key = candidate.entry.key
        let share = plans.removeValue(forKey: key)?.share ?? candidate.share
        running[key] = Run(begin: now, share: share, isAside: paces[key] == .slow)
        lastTurn += 1
        turns[share.tenant] = lastTurn
        // Tenants come and go; who has nothing to do may as well begin anew.
        guard turns.count > mostTurns else { return }
        let present = Set(plans.values.map(\.share.tenant)).union(running.values.map(\.share.tenant))
        turns = turns.filter { present.contains($0.key) }
        mostTurns = max(1024, 2 * turns.count)
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
        var entry: Entry
        var share: WorkShare
        var runs: Int
        var turn: UInt64

        static func == (a: Self, b: Self) -> Bool { a.entry.key == b.entry.key }
        static func < (a: Self, b: Self) -> Bool { (a.runs, a.turn, a.entry) < (b.runs, b.turn, b.entry) }
    }
}

/// How a reconcile ended.
public enum ReconcileOutcome: Equatable, Sendable {
    /// All is done; look again after that long, or only when something changes when nil.
    case done(requeueAfter: Duration?)
    /// To be tried again with backoff.
    case failed
}
