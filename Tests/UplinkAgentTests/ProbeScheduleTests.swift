import NetworkTypes
import NodeDocument
import Testing

@testable import UplinkAgent

@Suite struct ProbeScheduleTests {
    private func targets(_ range: ClosedRange<Int>) throws -> Set<ProbeTarget> {
        Set(try range.map { ProbeTarget(try sampleForward("b", .tcp, $0)) })
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
            let counts = schedule.finished(target)
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
        let counts = schedule.finished(try #require(taken.first))
        #expect(!counts)
        #expect(schedule.wait(now: 1) == nil)
    }

    @Test func neitherTooManyAtATimeNorASecond() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...5000), now: 0)
        var started = 0
        // Every probe is answered at once, for ten minutes.
        for now in stride(from: Int64(0), to: 600_000, by: 250) {
            let taken = schedule.take(now: now)
            #expect(taken.count <= ProbeSchedule.maximumInFlight)
            started += taken.count
            for target in taken { _ = schedule.finished(target) }
        }
        // The first round comes at once, then each target about every 100 s.
        let perSecond = Double(started - 5000) / 600
        #expect((40...60).contains(perSecond), "\(perSecond)")
    }
}
