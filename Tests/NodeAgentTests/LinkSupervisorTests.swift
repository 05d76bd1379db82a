import Testing

@testable import NodeAgent

/// When link programs start and end.
@Suite struct LinkSupervisorTests {
    private var supervisor = LinkSupervisor()

    private mutating func started(_ pid: Int32, at now: Int64) {
        #expect(supervisor.handle(.tick, now: now) == [.start])
        #expect(supervisor.handle(.started(pid: pid), now: now) == [])
    }

    @Test mutating func oneServesAndComesBackWhenItEnds() {
        started(7, at: 0)
        #expect(supervisor.serving == 7)
        #expect(supervisor.handle(.tick, now: 100) == [])
        #expect(supervisor.handle(.ended(pid: 7), now: 200) == [], "not sooner than a second after the last start")
        #expect(supervisor.handle(.tick, now: 1000) == [.start])
        #expect(supervisor.handle(.notStarted, now: 1000) == [])
        #expect(supervisor.handle(.tick, now: 1500) == [])
        started(8, at: 2000)
    }

    @Test mutating func aNewOneTakesOverOnceItLived() {
        started(7, at: 0)
        #expect(supervisor.handle(.restartAsked, now: 5000) == [.start])
        #expect(supervisor.handle(.started(pid: 8), now: 5000) == [])
        #expect(supervisor.serving == 7)
        #expect(supervisor.handle(.tick, now: 5900) == [])
        #expect(supervisor.handle(.tick, now: 6000) == [.replace(7)])
        #expect(supervisor.serving == 8)
        // It drains for as long as it may.
        #expect(supervisor.handle(.tick, now: 37_000) == [])
        #expect(supervisor.handle(.tick, now: 38_000) == [.kill(7)])
        #expect(supervisor.handle(.ended(pid: 7), now: 38_100) == [])
        #expect(supervisor.serving == 8)
    }

    @Test mutating func oneThatCannotServeChangesNothing() {
        started(7, at: 0)
        #expect(supervisor.handle(.restartAsked, now: 5000) == [.start])
        _ = supervisor.handle(.started(pid: 8), now: 5000)
        #expect(supervisor.handle(.ended(pid: 8), now: 5100) == [])
        #expect(supervisor.serving == 7)
        // What kept it may be over soon; each failure doubles the pause, up to a minute.
        var now: Int64 = 5100
        for (number, pause) in ([2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000] as [Int64]).enumerated() {
            #expect(supervisor.handle(.tick, now: now + pause - 1) == [], "\(number)")
            now += pause
            #expect(supervisor.handle(.tick, now: now) == [.start])
            #expect(supervisor.handle(number.isMultiple(of: 2) ? .notStarted : .started(pid: 8), now: now) == [])
            if !number.isMultiple(of: 2) { #expect(supervisor.handle(.ended(pid: 8), now: now) == []) }
        }
        // Where none serves any more that is no reason to wait.
        #expect(supervisor.handle(.ended(pid: 7), now: now + 1000) == [.start])
    }

    @Test mutating func oneThatFailedTakesOverAtLast() {
        started(7, at: 0)
        #expect(supervisor.handle(.restartAsked, now: 5000) == [.start])
        #expect(supervisor.handle(.notStarted, now: 5000) == [])
        #expect(supervisor.handle(.tick, now: 7000) == [.start])
        #expect(supervisor.handle(.started(pid: 8), now: 7000) == [])
        #expect(supervisor.handle(.tick, now: 8000) == [.replace(7)])
        #expect(supervisor.handle(.tick, now: 100_000) == [.kill(7)])
    }

    @Test mutating func theNewOneServesWhereTheFormerEndsFirst() {
        started(7, at: 0)
        _ = supervisor.handle(.restartAsked, now: 5000)
        _ = supervisor.handle(.started(pid: 8), now: 5000)
        #expect(supervisor.handle(.ended(pid: 7), now: 5100) == [])
        #expect(supervisor.serving == 8)
        #expect(supervisor.handle(.tick, now: 9000) == [])
    }

    @Test mutating func aSecondWishIsKept() {
        started(7, at: 0)
        _ = supervisor.handle(.restartAsked, now: 5000)
        _ = supervisor.handle(.started(pid: 8), now: 5000)
        #expect(supervisor.handle(.restartAsked, now: 5100) == [])
        #expect(supervisor.handle(.tick, now: 6000) == [.replace(7), .start])
    }

    @Test mutating func allEndTogether() {
        started(7, at: 0)
        _ = supervisor.handle(.restartAsked, now: 5000)
        _ = supervisor.handle(.started(pid: 8), now: 5000)
        #expect(supervisor.handle(.stopAsked, now: 5100) == [.terminate(7), .terminate(8)])
        #expect(supervisor.handle(.ended(pid: 7), now: 5200) == [])
        #expect(supervisor.handle(.tick, now: 37_200) == [.kill(8)])
        #expect(supervisor.handle(.ended(pid: 8), now: 37_300) == [.exit])
    }

    @Test mutating func oneThatMakesPlaceIsToldWhenAllEnds() {
        started(7, at: 0)
        _ = supervisor.handle(.restartAsked, now: 5000)
        _ = supervisor.handle(.started(pid: 8), now: 5000)
        #expect(supervisor.handle(.tick, now: 6000) == [.replace(7)])
        #expect(supervisor.handle(.stopAsked, now: 7000) == [.terminate(7), .terminate(8)])
        #expect(supervisor.handle(.ended(pid: 7), now: 7100) == [])
        #expect(supervisor.handle(.ended(pid: 8), now: 7200) == [.exit])
    }

    @Test mutating func whatStartsWhenAllEndsEndsToo() {
        #expect(supervisor.handle(.tick, now: 0) == [.start])
        #expect(supervisor.handle(.stopAsked, now: 1) == [])
        #expect(supervisor.handle(.started(pid: 7), now: 2) == [.terminate(7)])
        #expect(supervisor.handle(.ended(pid: 7), now: 3) == [.exit])
    }
}
