import Synchronization
import Timing

/// What a queue tells of its work, for metrics.
public struct WorkQueueObserver: Sendable {
    /// A key was planned that was not planned already.
    public var added: @Sendable () -> Void
    /// A handler begins; `waited` is how long the key could have been started already. The result is called at the handler's end.
    public var began: @Sendable (_ waited: Duration) -> @Sendable (ReconcileOutcome) -> Void

    public init(
        added: @escaping @Sendable () -> Void,
        began: @escaping @Sendable (_ waited: Duration) -> @Sendable (ReconcileOutcome) -> Void
    ) {
        self.added = added
        self.began = began
    }
}

/// Hands keys to a handler, several at a time, with the promises that `Schedule` and `FairShares` write down.
public final class WorkQueue<Key: Hashable & Comparable & Sendable>: Sendable {
    private let schedule: Mutex<Schedule<Key>>
    /// Something was added or ended since the runner last looked.
    private let news = Wakeup()
    private let clock = ContinuousClock()
    private let share: @Sendable (Key) -> WorkShare
    private let observer: WorkQueueObserver?

    /// - Parameters:
    ///   - concurrency: places.
    ///   - share: whose work a key is.
    public init(
        concurrency: Int, shares: FairShares = .byTenant, share: @escaping @Sendable (Key) -> WorkShare = { _ in WorkShare() },
        observer: WorkQueueObserver? = nil
    ) {
        self.share = share
        self.observer = observer
        schedule = Mutex(Schedule(concurrency: concurrency, shares: shares))
    }

    /// Plans `key`, at once unless told otherwise.
    public func add(_ key: Key, after delay: Duration = .zero) {
        let time = clock.now + delay
        let share = share(key)
        if change({ $0.add(key, at: time, share: share) }) { observer?.added() }
    }

    /// Keys that are due and wait for a worker.
    public var depth: Int {
        let now = clock.now
        return schedule.withLock { $0.depth(at: now) }
    }

    /// Works until the task is cancelled, and then until the running handlers are done.
    public func run(_ handle: @escaping @Sendable (Key) async -> ReconcileOutcome) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let now = clock.now
                switch schedule.withLock({ $0.next(now: now) }) {
                case .start(let key, let waited):
                    let finished = observer?.began(waited)
                    group.addTask {
                        let outcome = await handle(key)
                        let end = self.clock.now
                        finished?(outcome)
                        self.change { $0.finish(key, outcome: outcome, now: end) }
                    }
                case .wait(let deadline): await news.wait(until: deadline)
                }
            }
        }
    }

    private func change<Result: Sendable>(_ body: (inout Schedule<Key>) -> Result) -> Result {
        defer { news.signal() }
        return schedule.withLock { body(&$0) }
    }
}
