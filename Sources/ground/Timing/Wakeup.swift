import Synchronization

/// Wakes the one task that waits for news; news before the wait count, however many.
///
/// An AsyncStream would not do: it ends for good when a wait on it is cancelled.
public final class Wakeup: Sendable {
    private struct State {
        var isSignalled = false
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    public init() {}

    public func signal() {
        let waiter = state.withLock { state in
            state.isSignalled = state.waiter == nil
            return state.waiter.take()
        }
        waiter?.resume()
    }

    /// Returns at once when the task is cancelled.
    public func wait() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.isSignalled || Task.isCancelled {
                        state.isSignalled = false
                        return true
                    }
                    state.waiter = continuation
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.waiter.take() }?.resume()
        }
    }

    /// As `wait()`, until that moment at most; nil is no end.
    public func wait(until deadline: ContinuousClock.Instant?) async {
        guard let deadline else { return await wait() }
        await withTaskGroup { group in
            group.addTask {
                // A sleep that was cancelled wakes nobody: the wait that it belonged to is over.
                if (try? await Task.sleep(until: deadline, clock: .continuous)) != nil { self.signal() }
            }
            await wait()
            group.cancelAll()
        }
    }
}
