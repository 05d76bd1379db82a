import Synchronization

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
    private struct State {
        var schedule: Schedule<Key>
        /// Set when something was added since the runner last looked.
        var isChanged = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>
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
        state = Mutex(State(schedule: Schedule(concurrency: concurrency, shares: shares)))
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
        return state.withLock { $0.schedule.depth(at: now) }
    }

    /// Works until the task is cancelled, and then until the running handlers are done.
    public func run(_ handle: @escaping @Sendable (Key) async -> ReconcileOutcome) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let now = clock.now
                switch state.withLock({ $0.schedule.next(now: now) }) {
                case .start(let key, let waited):
                    let finished = observer?.began(waited)
                    group.addTask {
                        let outcome = await handle(key)
                        let end = self.clock.now
                        finished?(outcome)
                        self.change { $0.finish(key, outcome: outcome, now: end) }
                    }
                case .wait(let deadline): await waitForChange(until: deadline)
                }
            }
        }
    }

    private func change<Result: Sendable>(_ body: (inout Schedule<Key>) -> Result) -> Result {
        let (result, waiter) = state.withLock { state in
            let result = body(&state.schedule)
            state.isChanged = true
            return (result, state.waiter.take())
        }
        waiter?.resume()
        return result
    }

    private func wake() {
        let waiter = state.withLock { state in
            state.isChanged = true
            return state.waiter.take()
        }
        waiter?.resume()
    }

    private func waitForChange(until deadline: ContinuousClock.Instant?) async {
        await withTaskGroup { group in
            if let deadline {
                group.addTask {
                    // A cancelled sleep wakes nobody: the wait it belonged to is over.
                    guard (try? await Task.sleep(until: deadline, clock: .continuous)) != nil else { return }
                    self.wake()
                }
            }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isReady = state.withLock { state in
                        if state.isChanged || Task.isCancelled {
                            state.isChanged = false
                            return true
                        }
                        state.waiter = continuation
                        return false
                    }
                    if isReady { continuation.resume() }
                }
            } onCancel: {
                wake()
            }
            state.withLock { $0.isChanged = false }
            group.cancelAll()
        }
    }
}
