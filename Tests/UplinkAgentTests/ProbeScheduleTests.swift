import NetworkTypes
import NodeDocument
import Testing

@testable import UplinkAgent

@Suite struct ProbeScheduleTests {
    private func targets(_ range: ClosedRange<Int>) throws -> Set<ProbeTarget> {
        Set(try range.map { ProbeTarget(try sampleForward("b", .tcp, $0)) })
    }

    private func finish(_ schedule: inout ProbeSchedule, _ targets: some Sequence<ProbeTarget>, fails: Bool = false, now: Int64) {
        for target in targets { _ = schedule.finished(target, fails: fails, now: now) }
    }

    @Test func newTargetsAreProbedAtOnceAndOthersLater() throws {
        var schedule = ProbeSchedule()
        let gone = schedule.set(try targets(1...2), now: 0)
        #expect(gone.isEmpty)
        let first = schedule.take(now: 0)
        #expect(Set(first) == (try targets(1...2)))
        let again = schedule.take(now: 0)
        #expect(again.isEmpty)
        for target in first {
            let counts = schedule.finished(target, fails: false, now: 10)
            #expect(counts)
        }
        _ = schedule.set(try targets(1...3), now: 100)
        let third = schedule.take(now: 100)
        #expect(Set(third) == (try targets(3...3)))
        let wait = try #require(schedule.wait(now: 100))
        #expect((7_900...12_000).contains(wait))
        let next = schedule.take(now: 100 + wait)
        #expect(next.count == 1)
    }

    @Test func theResultOfATargetThatWentIsVoid() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...1), now: 0)
        let taken = schedule.take(now: 0)
        let gone = schedule.set([], now: 1)
        #expect(gone == taken)
        let counts = schedule.finished(try #require(taken.first), fails: false, now: 2)
        #expect(!counts)
        #expect(schedule.wait(now: 1) == nil)
    }

    @Test func aTargetThatFailsIsAskedEverySecond() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...2), now: 0)
        finish(&schedule, schedule.take(now: 0), fails: true, now: 0)
        let wait = try #require(schedule.wait(now: 0))
        #expect((800...1200).contains(wait))
        let retried = schedule.take(now: 1200)
        #expect(retried.count == 2)
    }

    @Test func oneThatIsBackMakesTheOthersDue() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...500), now: 0)
        var now: Int64 = 0
        while now < 30_000 {
            finish(&schedule, schedule.take(now: now), fails: true, now: now)
            now += 100
        }
        // Each is asked every 20 s; now all answer.
        var back: Set<ProbeTarget> = []
        let since = now
        while back.count < 500 && now < since + 60_000 {
            let taken = schedule.take(now: now)
            back.formUnion(taken)
            finish(&schedule, taken, now: now)
            now += 100
        }
        #expect(now - since <= 11_000, "\(now - since) ms")
    }

    /// Probes of ten minutes; each is answered, or swallowed for 3 s where it `fails`.
    private func run(_ count: Int, seconds: Int64 = 600, fails: (Port) -> Bool) throws -> (
        first: Int64, perSecond: Double, schedule: ProbeSchedule
    ) {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...count), now: 0)
        var started = 0
        var seen: Set<ProbeTarget> = []
        var first: Int64 = 0
        var pending: [(target: ProbeTarget, until: Int64)] = []
        for now in stride(from: Int64(0), to: seconds * 1000, by: 100) {
            finish(&schedule, pending.filter { $0.until <= now }.map(\.target), fails: true, now: now)
            pending.removeAll { $0.until <= now }
            let taken = schedule.take(now: now)
            started += taken.count
            if seen.count < count {
                seen.formUnion(taken)
                first = now
            }
            finish(&schedule, taken.filter { !fails($0.port) }, now: now)
            pending += taken.filter { fails($0.port) }.map { ($0, now + 3000) }
            #expect(pending.count <= ProbeSchedule.maximumInFlight)
        }
        return (first, Double(started - count) / Double(seconds), schedule)
    }

    @Test(arguments: [500, 5000]) func neverMoreThanTheBudgetASecond(count: Int) throws {
        let run = try run(count, seconds: 60) { _ in false }
        #expect(run.perSecond <= Double(ProbeSchedule.probesPerSecond) + 1, "\(run.perSecond)")
        #expect(run.first <= Int64(count) * 1000 / Int64(ProbeSchedule.newPerSecond) + 200, "\(run.first) ms")
    }

    /// Targets that swallow packets take no place of those that answer.
    @Test func thoseThatFailDoNotHoldUpTheOthers() throws {
        let run = try run(1000, seconds: 100) { $0.number % 2 == 0 }
        #expect((15...51).contains(run.perSecond), "\(run.perSecond)")
    }

    @Test func aNewTargetGoesBeforeThousands() throws {
        var schedule = try run(5000, seconds: 30) { _ in false }.schedule
        _ = schedule.set(try targets(1...5001), now: 30_000)
        let taken = schedule.take(now: 30_000)
        #expect(taken.contains { $0.port.number == 5001 })
    }
}
