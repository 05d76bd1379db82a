import Synchronization
import Testing

@testable import Reconcilers

@Suite(.timeLimit(.minutes(5))) struct WorkQueueTests {
    /// What the handlers of a test did.
    private final class Witness: Sendable {
        struct State {
            var running: Set<Int> = []
            var handled: [Int: Int] = [:]
            var atOnce = 0
            var overlaps = 0
        }
        let state = Mutex(State())

        func handle(_ key: Int, _ body: () async -> Void = { await Task.yield() }) async {
            state.withLock { state in
                if !state.running.insert(key).inserted { state.overlaps += 1 }
                state.atOnce = max(state.atOnce, state.running.count)
            }
            await body()
            state.withLock { state in
                state.running.remove(key)
                state.handled[key, default: 0] += 1
            }
        }

        func count(_ key: Int) -> Int { state.withLock { $0.handled[key] ?? 0 } }
    }

    private func eventually(_ condition: () -> Bool) async {
        while !condition() { try? await Task.sleep(for: .milliseconds(1)) }
    }

    @Test func handlesEveryKeyAndNoneTwiceAtOnce() async {
        let queue = WorkQueue<Int>(concurrency: 4)
        let witness = Witness()
        await withTaskGroup { group in
            group.addTask {
                await queue.run { key in
                    await witness.handle(key)
                    return .done(requeueAfter: nil)
                }
            }
            await withTaskGroup { adders in
                for adder in 0..<8 {
                    adders.addTask {
                        for round in 0..<100 {
                            queue.add((adder + round) % 10)
                            await Task.yield()
                        }
                    }
                }
            }
            // What is added after all others have been is handled too: nothing is lost on the way to sleep.
            for _ in 0..<50 {
                let before = witness.count(3)
                queue.add(3)
                await eventually { witness.count(3) > before }
            }
            group.cancelAll()
        }
        let state = witness.state.withLock { $0 }
        #expect(Set(state.handled.keys) == Set(0..<10))
        #expect(state.overlaps == 0)
        #expect(state.atOnce <= 4)
        #expect(state.running.isEmpty)
    }

    @Test func handlesWhatWasAddedBeforeItRan() async {
        let queue = WorkQueue<Int>(concurrency: 1)
        let witness = Witness()
        queue.add(1)
        queue.add(2)
        #expect(queue.depth == 2)
        await withTaskGroup { group in
            group.addTask {
                await queue.run { key in
                    await witness.handle(key)
                    return .done(requeueAfter: nil)
                }
            }
            await eventually { witness.count(1) == 1 && witness.count(2) == 1 }
            group.cancelAll()
        }
        #expect(queue.depth == 0)
    }

    @Test func waitsAsLongAsAsked() async {
        let queue = WorkQueue<Int>(concurrency: 1)
        let witness = Witness()
        let begin = ContinuousClock().now
        queue.add(1, after: .milliseconds(500))
        // A later look at the same key moves nothing, a sooner look at another does not wait for it.
        queue.add(1, after: .seconds(60))
        queue.add(2)
        await withTaskGroup { group in
            group.addTask {
                await queue.run { key in
                    if key == 2 { #expect(witness.count(1) == 0) }
                    await witness.handle(key)
                    return .done(requeueAfter: key == 1 && witness.count(1) < 3 ? .milliseconds(10) : nil)
                }
            }
            await eventually { witness.count(1) == 3 }
            group.cancelAll()
        }
        #expect(ContinuousClock().now - begin >= .milliseconds(520))
        #expect(witness.count(2) == 1)
    }

    @Test func letsRunningHandlersFinishWhenCancelled() async {
        let queue = WorkQueue<Int>(concurrency: 2)
        let witness = Witness()
        let mayEnd = Mutex(false)
        queue.add(1)
        queue.add(2, after: .seconds(3600))
        let run = Task {
            await queue.run { key in
                await witness.handle(key) {
                    // Work that cannot be broken off, such as a rename.
                    while !mayEnd.withLock({ $0 }) { await Task.yield() }
                }
                return .done(requeueAfter: nil)
            }
        }
        await eventually { witness.state.withLock { !$0.running.isEmpty } }
        run.cancel()
        queue.add(3)
        try? await Task.sleep(for: .milliseconds(20))
        #expect(witness.count(1) == 0)
        mayEnd.withLock { $0 = true }
        await run.value
        #expect(witness.count(1) == 1)
        #expect(witness.count(2) == 0)
    }

    @Test func endsAtOnceWhenIdle() async {
        let queue = WorkQueue<Int>(concurrency: 2)
        for delay in [Duration?.none, .seconds(3600)] {
            if let delay { queue.add(1, after: delay) }
            let run = Task { await queue.run { _ in .failed } }
            try? await Task.sleep(for: .milliseconds(5))
            run.cancel()
            await run.value
        }
        // Cancelled before it begins.
        let run = Task {
            withUnsafeCurrentTask { $0?.cancel() }
            await queue.run { _ in .failed }
        }
        await run.value
    }
}
