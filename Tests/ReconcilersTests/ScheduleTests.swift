import Fixtures
import Testing

@testable import Reconcilers

/// The promises of `Schedule`, on a clock of the test's own.
@Suite struct ScheduleTests {
    private let zero = ContinuousClock().now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { zero + .seconds(seconds) }

    @Test func handlesAKeyOnceHoweverOftenItIsAdded() {
        var schedule = Schedule<String>(concurrency: 2)
        for second in [3.0, 1, 2, 1] { schedule.add("a", at: at(second)) }
        #expect(schedule.depth(at: at(1)) == 1)
        #expect(schedule.next(now: at(0)) == .wait(until: at(1)))
        #expect(schedule.next(now: at(1)).key == "a")
        #expect(schedule.next(now: at(9)) == .wait(until: nil))
        schedule.finish("a", outcome: .done(requeueAfter: nil), now: at(9))
        #expect(schedule.next(now: at(99)) == .wait(until: nil))
        #expect(schedule.depth(at: at(1)) == 0)
        #expect(schedule.runningCount == 0)
    }

    @Test func neverHandlesAKeyTwiceAtOnce() {
        var schedule = Schedule<String>(concurrency: 8)
        schedule.add("a", at: at(0))
        #expect(schedule.next(now: at(0)).key == "a")
        schedule.add("a", at: at(0))
        #expect(schedule.next(now: at(1)) == .wait(until: nil))
        schedule.finish("a", outcome: .done(requeueAfter: nil), now: at(2))
        // Added while it ran: once more, afterwards.
        #expect(schedule.next(now: at(2)).key == "a")
        schedule.finish("a", outcome: .done(requeueAfter: nil), now: at(3))
        #expect(schedule.next(now: at(3)) == .wait(until: nil))
    }

    @Test func startsTheEarliestFirstAndThenByName() {
        var schedule = Schedule<String>(concurrency: 3)
        schedule.add("late", at: at(2))
        schedule.add("b", at: at(1))
        schedule.add("a", at: at(1))
        #expect(schedule.next(now: at(5)).key == "a")
        #expect(schedule.next(now: at(5)).key == "b")
        #expect(schedule.next(now: at(5)).key == "late")
    }

    @Test func keepsToItsConcurrency() {
        var schedule = Schedule<String>(concurrency: 2)
        for key in ["a", "b", "c"] { schedule.add(key, at: at(0)) }
        #expect(schedule.next(now: at(0)).key == "a")
        #expect(schedule.next(now: at(0)).key == "b")
        #expect(schedule.next(now: at(0)) == .wait(until: nil))
        schedule.finish("b", outcome: .done(requeueAfter: nil), now: at(1))
        #expect(schedule.next(now: at(1)).key == "c")
        // At least one at a time, whatever is asked.
        var single = Schedule<String>(concurrency: 0)
        single.add("a", at: at(0))
        #expect(single.next(now: at(0)).key == "a")
    }

    @Test func comesBackAfterTheTimeAsked() {
        var schedule = Schedule<String>(concurrency: 1)
        schedule.add("a", at: at(0))
        #expect(schedule.next(now: at(0)).key == "a")
        schedule.finish("a", outcome: .done(requeueAfter: .seconds(180)), now: at(1))
        #expect(schedule.next(now: at(1)) == .wait(until: at(181)))
        // A change is looked at sooner, and the later look is not forgotten but made anew.
        schedule.add("a", at: at(10))
        #expect(schedule.next(now: at(10)).key == "a")
        schedule.finish("a", outcome: .done(requeueAfter: .seconds(180)), now: at(11))
        #expect(schedule.next(now: at(11)) == .wait(until: at(191)))
    }

    @Test func waitsLongerAfterEachFailureUpToALimit() {
        var schedule = Schedule<String>(concurrency: 1, firstBackoff: .seconds(1), maximumBackoff: .seconds(10))
        var now = at(0)
        schedule.add("a", at: now)
        for expected in [1.0, 2, 4, 8, 10, 10, 10] {
            #expect(schedule.next(now: now).key == "a")
            schedule.finish("a", outcome: .failed, now: now)
            #expect(schedule.next(now: now) == .wait(until: now + .seconds(expected)))
            now += .seconds(expected)
        }
        // One success ends it.
        #expect(schedule.next(now: now).key == "a")
        schedule.finish("a", outcome: .done(requeueAfter: nil), now: now)
        schedule.add("a", at: now)
        #expect(schedule.next(now: now).key == "a")
        schedule.finish("a", outcome: .failed, now: now)
        #expect(schedule.next(now: now) == .wait(until: now + .seconds(1)))
    }

    @Test func neverOverflowsItsBackoff() {
        var schedule = Schedule<String>(concurrency: 1)
        var now = at(0)
        schedule.add("a", at: now)
        for _ in 0..<200 {
            #expect(schedule.next(now: now).key == "a")
            schedule.finish("a", outcome: .failed, now: now)
            now += .seconds(180)
        }
    }

    @Test func failuresOfOneKeyDelayNoOther() {
        var schedule = Schedule<String>(concurrency: 1)
        schedule.add("bad", at: at(0))
        #expect(schedule.next(now: at(0)).key == "bad")
        schedule.finish("bad", outcome: .failed, now: at(0))
        schedule.add("good", at: at(0))
        #expect(schedule.next(now: at(0)).key == "good")
    }

    /// A hundred times the usual number, all due at once: a look at every key for each start took minutes.
    @Test func thousandsAreStartedWithoutALookAtEachOther() {
        var schedule = Schedule<Int>(concurrency: 1)
        var started: [Int] = []
        let time = ContinuousClock().measure {
            for key in 0..<10_000 { schedule.add(key, at: at(0), share: WorkShare(tenant: "\(key % 10)")) }
            while case .start(let key, _) = schedule.next(now: at(1)) {
                started.append(key)
                schedule.finish(key, outcome: .done(requeueAfter: .seconds(60)), now: at(1))
            }
        }
        #expect(started == Array(0..<10_000))
        #expect(time < .seconds(30), "\(time)")
    }

    /// What is planned anew before its time leaves nothing behind for long.
    @Test func plansThatAreReplacedAreForgotten() {
        var schedule = Schedule<Int>(concurrency: 1)
        for second in 0..<20_000 {
            schedule.add(1, at: at(Double(second)))
            #expect(schedule.next(now: at(Double(second))).key == 1)
            schedule.finish(1, outcome: .done(requeueAfter: .seconds(1_000_000)), now: at(Double(second)))
        }
        #expect(schedule.heldCount < 2000)
    }

    /// Random work against a plain model: what was added after its last start is started again; nothing runs twice at once.
    @Test func keepsItsPromisesUnderAnyOrder() {
        var random = SeededRandom(seed: 31)
        var schedule = Schedule<Int>(concurrency: 3)
        var running: Set<Int> = []
        var owed: Set<Int> = []
        var now = at(0)
        for _ in 0..<5000 {
            now += .milliseconds(Int.random(in: 0...300, using: &random))
            switch Int.random(in: 0..<3, using: &random) {
            case 0:
                let key = Int.random(in: 0..<6, using: &random)
                schedule.add(key, at: now)
                owed.insert(key)
            case 1:
                if case .start(let key, _) = schedule.next(now: now) {
                    #expect(!running.contains(key))
                    #expect(owed.contains(key))
                    running.insert(key)
                    owed.remove(key)
                }
            default:
                // Sorted: a Set has another order in each run.
                guard let key = running.sorted().randomElement(using: &random) else { continue }
                running.remove(key)
                let outcome: ReconcileOutcome = Bool.random(using: &random) ? .failed : .done(requeueAfter: nil)
                schedule.finish(key, outcome: outcome, now: now)
                if outcome == .failed { owed.insert(key) }
            }
            #expect(running.count <= 3)
            #expect(schedule.runningCount == running.count)
            #expect(schedule.depth(at: now + .seconds(1000)) == owed.count)
        }
    }
}

extension Schedule.Step {
    /// What is started; nil when nothing is.
    fileprivate var key: Key? { if case .start(let key, _) = self { key } else { nil } }
}
