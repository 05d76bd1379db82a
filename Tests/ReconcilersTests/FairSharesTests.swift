import Testing

@testable import Reconcilers

/// Who is next, and who waits for whom, on a clock of the test's own.
@Suite struct FairSharesTests {
    private let zero = ContinuousClock().now
    private func at(_ seconds: Double) -> ContinuousClock.Instant { zero + .seconds(seconds) }
    private func share(_ tenant: String, _ host: String = "") -> WorkShare { WorkShare(tenant: tenant, host: host) }

    private func started(_ schedule: inout Schedule<String>, _ seconds: Double) -> String? {
        if case .start(let key, _) = schedule.next(now: at(seconds)) { key } else { nil }
    }

    @Test func tenantsTakeTurns() {
        var schedule = Schedule<String>(concurrency: 1)
        for number in 0..<50 { schedule.add("a\(number)", at: at(0), share: share("a")) }
        for number in 0..<3 { schedule.add("b\(number)", at: at(1), share: share("b")) }
        var order: [String] = []
        for _ in 0..<8 {
            guard let key = started(&schedule, 2) else { break }
            order.append(key)
            schedule.finish(key, outcome: .done(requeueAfter: nil), now: at(2))
        }
        #expect(order == ["a0", "b0", "a1", "b1", "a10", "b2", "a11", "a12"])
    }

    @Test func nobodyTakesAllPlaces() {
        var schedule = Schedule<String>(concurrency: 3)
        for number in 0..<9 { schedule.add("a\(number)", at: at(0), share: share("a")) }
        #expect(started(&schedule, 0) == "a0")
        #expect(started(&schedule, 0) == "a1")
        schedule.add("b", at: at(1), share: share("b"))
        #expect(started(&schedule, 1) == "b")
        #expect(started(&schedule, 1) == nil)
    }

    @Test func whoTakesLongGivesItsPlaceOn() {
        var schedule = Schedule<String>(concurrency: 1, shares: .byHost)
        schedule.add("slow", at: at(0), share: share("a"))
        schedule.add("next", at: at(0), share: share("a"))
        #expect(started(&schedule, 0) == "next")
        #expect(schedule.next(now: at(0)) == .wait(until: at(0) + .milliseconds(150)), "when its place is given on")
        #expect(started(&schedule, 0.15) == "slow")
        #expect(schedule.runningCount == 2 && schedule.asideCount == 1)
        schedule.finish("next", outcome: .done(requeueAfter: nil), now: at(1))
        #expect(schedule.asideCount == 0)
    }

    @Test func whoWasSlowBeginsAsideAndFewAtOnce() {
        var shares = FairShares.byHost
        (shares.mostOfTenant, shares.mostOfHost) = (3, 2)
        var schedule = Schedule<String>(concurrency: 1, shares: shares)
        let keys = ["a", "b", "c", "d", "e"]
        for (index, key) in keys.enumerated() {
            schedule.add(key, at: at(0), share: share("t", index < 4 ? "one" : "two"))
        }
        for (index, _) in keys.enumerated() { #expect(started(&schedule, Double(index)) != nil) }
        for key in keys { schedule.finish(key, outcome: .failed, now: at(10)) }
        // All at once again, without a place: two of a host, three of a tenant.
        #expect(started(&schedule, 20) == "a")
        #expect(started(&schedule, 20) == "b")
        #expect(started(&schedule, 20) == "e")
        #expect(started(&schedule, 20) == nil)
        #expect(schedule.asideCount == 3)
        // Another of the same tenant does not wait for them.
        schedule.add("quick", at: at(20), share: share("t", "three"))
        #expect(started(&schedule, 20) == "quick")
        // One that was quick this time takes a place the next.
        schedule.finish("e", outcome: .done(requeueAfter: .seconds(1)), now: at(21))
        schedule.finish("quick", outcome: .done(requeueAfter: nil), now: at(21))
        #expect(started(&schedule, 22) == "e")
        #expect(schedule.asideCount == 2)
    }

    @Test func quickOnesGoFirstButNotForEver() {
        var schedule = Schedule<String>(concurrency: 1, shares: .byHost)
        schedule.add("quick", at: at(0))
        #expect(started(&schedule, 0) == "quick")
        schedule.finish("quick", outcome: .done(requeueAfter: .seconds(5)), now: at(0.1))
        schedule.add("unknown", at: at(1))
        #expect(started(&schedule, 6) == "quick")
        schedule.finish("quick", outcome: .done(requeueAfter: .seconds(30)), now: at(6.1))
        // 35 s later than the other became due, which is more than its head start.
        #expect(started(&schedule, 40) == "unknown")
    }

    @Test func theNumberAsideHasABound() {
        var shares = FairShares.byHost
        shares.mostAside = 2
        var schedule = Schedule<String>(concurrency: 1, shares: shares)
        for number in 0..<9 { schedule.add("k\(number)", at: at(0), share: share("t\(number)")) }
        for second in 0..<9 { _ = started(&schedule, Double(second)) }
        #expect(schedule.runningCount == 3 && schedule.asideCount == 2)
        #expect(schedule.next(now: at(10)) == .wait(until: nil))
        schedule.finish("k0", outcome: .failed, now: at(11))
        #expect(started(&schedule, 11) != nil)
    }

    /// Objects that are made and removed again leave their runs behind: no number of them takes the room of others, or their places.
    @Test func nobodyFillsTheRoomAside() {
        var shares = FairShares.byHost
        shares.mostAside = 8
        var schedule = Schedule<String>(concurrency: 2, shares: shares)
        for number in 0..<100 { schedule.add("a\(number)", at: at(0), share: share("a", "host\(number)")) }
        for second in 0..<100 { _ = started(&schedule, Double(second)) }
        #expect(schedule.asideCount == 4 && schedule.runningCount == 4, "half of it")
        schedule.add("b", at: at(100), share: share("b"))
        #expect(started(&schedule, 100) == "b")
        schedule.finish("b", outcome: .done(requeueAfter: nil), now: at(100))
        // With a second one who does the same, and a third, whoever comes next finds a place at once.
        for tenant in ["c", "d"] {
            for number in 0..<100 { schedule.add("\(tenant)\(number)", at: at(100), share: share(tenant)) }
        }
        for second in 101..<200 { _ = started(&schedule, Double(second)) }
        schedule.add("b", at: at(200), share: share("b"))
        #expect(started(&schedule, 200) == "b")
        // One whose own have ended goes on.
        for number in [0, 1, 10, 11] { schedule.finish("a\(number)", outcome: .done(requeueAfter: nil), now: at(201)) }
        #expect(started(&schedule, 202)?.hasPrefix("a") == true)
    }
}
