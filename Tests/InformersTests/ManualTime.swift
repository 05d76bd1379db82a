import KubernetesAPI
import Synchronization
import Timing

/// A clock that stands still until the test moves it.
final class ManualTime: Sendable {
    private struct Sleeper {
        var deadline: ContinuousClock.Instant
        var continuation: CheckedContinuation<Void, Never>
    }

    private struct State {
        var now = ContinuousClock.now
        var sleepers: [Int: Sleeper] = [:]
        var last = 0
    }

    private let state = Mutex(State())
    private let start = ContinuousClock.now

    var now: ContinuousClock.Instant { state.withLock { $0.now } }

    /// - Parameter random: what chance gives, always.
    func source(random: Double = 0) -> TimeSource {
        TimeSource(
            now: { self.now },
            microseconds: {
                let passed = self.now - self.start
                return 1_795_254_602_000_000 + Int64(passed / .microseconds(1))
            },
            sleep: { await self.sleep(until: $0) },
            random: { random })
    }

    func advance(by duration: Duration) {
        let due = state.withLock { state in
            state.now += duration
            let due = state.sleepers.filter { $0.value.deadline <= state.now }
            for number in due.keys { state.sleepers[number] = nil }
            return due.sorted { ($0.value.deadline, $0.key) < ($1.value.deadline, $1.key) }.map(\.value.continuation)
        }
        for continuation in due { continuation.resume() }
    }

    /// How long each of those sleeps who sleep now.
    var naps: [Duration] { state.withLock { state in state.sleepers.values.map { $0.deadline - state.now }.sorted() } }

    private func sleep(until deadline: ContinuousClock.Instant) async {
        let number = state.withLock { state in
            state.last += 1
            return state.last
        }
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let isOver = state.withLock { state in
                    if state.now >= deadline || Task.isCancelled { return true }
                    state.sleepers[number] = Sleeper(deadline: deadline, continuation: continuation)
                    return false
                }
                if isOver { continuation.resume() }
            }
        } onCancel: {
            state.withLock { $0.sleepers.removeValue(forKey: number) }?.continuation.resume()
        }
    }
}

/// Waits, in real time, for something that other tasks bring about; a suite's time limit ends a wait in vain.
func eventually(_ condition: () -> Bool) async {
    while !condition(), !Task.isCancelled { try? await Task.sleep(for: .milliseconds(1)) }
}
