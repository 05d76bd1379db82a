import Synchronization

/// What a queue tells of its work, for metrics.
public struct WorkQueueObserver: Sendable {
    public var added: @Sendable () -> Void
    /// How long the key could have been started already.
    public var started: @Sendable (_ waited: Duration) -> Void
    /// How long its handler took.
    public var finished: @Sendable (_ took: Duration, ReconcileOutcome) -> Void

    public init(
        added: @escaping @Sendable () -> Void, started: @escaping @Sendable (_ waited: Duration) -> Void,
        finished: @escaping @Sendable (_ took: Duration, ReconcileOutcome) -> Void
    ) {
        self.added = added
        self.started = started
        self.finished = finished
    }
}

/// Hands keys to a handler, several at a time, with the promises that `Schedule` writes down.
public final class WorkQueue<Key: Hashable & Comparable & Sendable>: Sendable {
    private struct State {
        var schedule: Schedule<Key>
        /// Set when something was added since the runner last looked.
        var isChanged = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state: Mutex<State>
    private let clock = ContinuousClock()
    private let observer: WorkQueueObserver?

    public init(concurrency: Int, observer: WorkQueueObserver? = nil) {
        self.observer = observer
        state = Mutex(State(schedule: Schedule(concurrency: concurrency)))
    }

    /// Plans `key`, at once unless told otherwise.
    public func add(_ key: Key, after delay: Duration = .zero) {
        let time = clock.now + delay
        observer?.added()
        change { $0.add(key, at: time) }
    }

    /// Keys that wait.
    public var depth: Int { state.withLock { $0.schedule.depth } }

    /// Works until the task is cancelled, and then until the running handlers are done.
    public func run(_ handle: @escaping @Sendable (Key) async -> ReconcileOutcome) async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                let now = clock.now
                switch state.withLock({ $0.schedule.next(now: now) }) {
                case .start(let key, let waited):
                    observer?.started(waited)
                    group.addTask {
                        let outcome = await handle(key)
                        let end = self.clock.now
                        self.change { $0.finish(key, outcome: outcome, now: end) }
                        self.observer?.finished(end - now, outcome)
                    }
                case .wait(let deadline): await waitForChange(until: deadline)
                }
            }
        }
    }

    private func change(_ body: (inout Schedule<Key>) -> Void) {
        let waiter = state.withLock { state in
            body(&state.schedule)
            state.isChanged = true
            return state.waiter.take()
        }
        waiter?.resume()
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
