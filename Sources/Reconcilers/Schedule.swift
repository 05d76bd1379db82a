/// Decides which key is worked on when: the pure heart of a `WorkQueue`.
///
/// Its promises are controller-runtime's: a key that is added many times is handled once; a key is never handled twice at the
/// same time; one that is added while it is being handled is handled once more afterwards; a key that fails waits longer each
/// time, up to `maximumBackoff`, and one success ends that.
struct Schedule<Key: Hashable & Comparable & Sendable> {
    typealias Instant = ContinuousClock.Instant

    enum Step: Equatable {
        /// `waited` is how long it could have been started already.
        case start(Key, waited: Duration)
        /// Nothing to do before this time, or before something is added; nil when nothing is planned.
        case wait(until: Instant?)
    }

    private var due: [Key: Instant] = [:]
    private var running: Set<Key> = []
    private var failures: [Key: Int] = [:]
    private let concurrency: Int
    private let firstBackoff: Duration
    private let maximumBackoff: Duration

    init(concurrency: Int, firstBackoff: Duration = .milliseconds(500), maximumBackoff: Duration = .seconds(180)) {
        self.concurrency = max(1, concurrency)
        self.firstBackoff = firstBackoff
        self.maximumBackoff = maximumBackoff
    }

    /// Keys that could be started.
    func depth(at now: Instant) -> Int { due.values.count { $0 <= now } }
    var runningCount: Int { running.count }

    /// The earlier time wins where a key is planned already.
    /// - Returns: whether it was not.
    @discardableResult mutating func add(_ key: Key, at time: Instant) -> Bool {
        let planned = due[key]
        if let planned, planned <= time { return false }
        due[key] = time
        return planned == nil
    }

    mutating func next(now: Instant) -> Step {
        guard running.count < concurrency else { return .wait(until: nil) }
        let candidates = due.filter { !running.contains($0.key) }
        guard let first = candidates.min(by: { ($0.value, $0.key) < ($1.value, $1.key) }) else { return .wait(until: nil) }
        guard first.value <= now else { return .wait(until: first.value) }
        due[first.key] = nil
        running.insert(first.key)
        return .start(first.key, waited: now - first.value)
    }

    mutating func finish(_ key: Key, outcome: ReconcileOutcome, now: Instant) {
        running.remove(key)
        switch outcome {
        case .done(let requeueAfter):
            failures[key] = nil
            if let requeueAfter { add(key, at: now + requeueAfter) }
        case .failed:
            let count = failures[key, default: 0]
            failures[key] = count + 1
            add(key, at: now + backoff(count))
        }
    }

    private func backoff(_ failuresBefore: Int) -> Duration {
        let factor = Int64(1) << Int64(min(failuresBefore, 20))
        return min(firstBackoff * Int(factor), maximumBackoff)
    }
}

/// How a reconcile ended.
public enum ReconcileOutcome: Equatable, Sendable {
    /// All is done; look again after that long, or only when something changes when nil.
    case done(requeueAfter: Duration?)
    /// To be tried again with backoff.
    case failed
}
