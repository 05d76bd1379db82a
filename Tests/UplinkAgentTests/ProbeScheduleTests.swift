import NetworkTypes
import NodeDocument
import Testing

@testable import UplinkAgent

@Suite struct ProbeScheduleTests {
    private func targets(_ range: ClosedRange<Int>) throws -> Set<ProbeTarget> {
        Set(try range.map { ProbeTarget(try sampleForward("b", .tcp, $0)) })
    }

    private func finish(
        _ schedule: inout ProbeSchedule, _ targets: some Sequence<ProbeTarget>, fails: Bool = false, now: Duration
    ) {
        for target in targets { _ = schedule.finished(target, fails: fails, now: now) }
    }

    @Test func newTargetsAreProbedAtOnceAndOthersLater() throws {
        var schedule = ProbeSchedule()
        let gone = schedule.set(try targets(1...2), now: .zero)
        #expect(gone.isEmpty)
        let first = schedule.take(now: .zero)
        #expect(Set(first) == (try targets(1...2)))
        let again = schedule.take(now: .zero)
        #expect(again.isEmpty)
        for target in first {
            let counts = schedule.finished(target, fails: false, now: .milliseconds(10))
            #expect(counts)
        }
        _ = schedule.set(try targets(1...3), now: .milliseconds(100))
        let third = schedule.take(now: .milliseconds(100))
        #expect(Set(third) == (try targets(3...3)))
        let wait = try #require(schedule.wait(now: .milliseconds(100)))
        #expect((.milliseconds(7_900) ... .milliseconds(12_000)).contains(wait))
        let next = schedule.take(now: .milliseconds(100) + wait)
        #expect(next.count == 1)
    }

    @Test func theResultOfATargetThatWentIsVoid() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...1), now: .zero)
        let taken = schedule.take(now: .zero)
        let gone = schedule.set([], now: .milliseconds(1))
        #expect(gone == taken)
        let counts = schedule.finished(try #require(taken.first), fails: false, now: .milliseconds(2))
        #expect(!counts)
        #expect(schedule.wait(now: .milliseconds(1)) == nil)
    }

    @Test func aTargetThatFailsIsAskedEverySecond() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...2), now: .zero)
        finish(&schedule, schedule.take(now: .zero), fails: true, now: .zero)
        let wait = try #require(schedule.wait(now: .zero))
        #expect((.milliseconds(800) ... .milliseconds(1200)).contains(wait))
        let retried = schedule.take(now: .milliseconds(1200))
        #expect(retried.count == 2)
    }

    @Test func oneThatIsBackMakesTheOthersDue() throws {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...500), now: .zero)
        var now = Duration.zero
        while now < .seconds(30) {
            finish(&schedule, schedule.take(now: now), fails: true, now: now)
            now += .milliseconds(100)
        }
        // Each is asked every 20 s; now all answer.
        var back: Set<ProbeTarget> = []
        let since = now
        while back.count < 500 && now < since + .seconds(60) {
            let taken = schedule.take(now: now)
            back.formUnion(taken)
            finish(&schedule, taken, now: now)
            now += .milliseconds(100)
        }
        #expect(now - since <= .milliseconds(11_000), "\(now - since)")
    }

    /// Probes of ten minutes; each is answered, or swallowed for 3 s where it `fails`.
    private func run(_ count: Int, seconds: Int = 600, fails: (Port) -> Bool) throws -> (
        first: Duration, perSecond: Double, schedule: ProbeSchedule
    ) {
        var schedule = ProbeSchedule()
        _ = schedule.set(try targets(1...count), now: .zero)
        var started = 0
        var seen: Set<ProbeTarget> = []
        var first = Duration.zero
        var pending: [(target: ProbeTarget, until: Duration)] = []
        for now in stride(from: 0, to: seconds * 1000, by: 100).map({ Duration.milliseconds($0) }) {
            finish(&schedule, pending.filter { $0.until <= now }.map(\.target), fails: true, now: now)
            pending.removeAll { $0.until <= now }
            let taken = schedule.take(now: now)
            started += taken.count
            if seen.count < count {
                seen.formUnion(taken)
                first = now
            }
            finish(&schedule, taken.filter { !fails(port(of: $0)) }, now: now)
            pending += taken.filter { fails(port(of: $0)) }.map { ($0, now + .seconds(3)) }
            #expect(pending.count <= ProbeSchedule.maximumInFlight)
        }
        return (first, Double(started - count) / Double(seconds), schedule)
    }

    @Test(arguments: [500, 5000]) func neverMoreThanTheBudgetASecond(count: Int) throws {
        let run = try run(count, seconds: 60) { _ in false }
        #expect(run.perSecond <= Double(ProbeSchedule.probesPerSecond) + 1, "\(run.perSecond)")
        #expect(run.first <= .seconds(count) / ProbeSchedule.newPerSecond + .milliseconds(200), "\(run.first)")
    }

    /// Targets that swallow packets take no place of those that answer.
    @Test func thoseThatFailDoNotHoldUpTheOthers() throws {
        let run = try run(1000, seconds: 100) { $0.number % 2 == 0 }
        #expect((15...51).contains(run.perSecond), "\(run.perSecond)")
    }

    @Test func aNewTargetGoesBeforeThousands() throws {
        var schedule = try run(5000, seconds: 30) { _ in false }.schedule
        _ = schedule.set(try targets(1...5001), now: .milliseconds(30_000))
        let taken = schedule.take(now: .milliseconds(30_000))
        #expect(taken.contains { port(of: $0).number == 5001 })
    }

    /// Hundred times the usual number, half of them down and back again: each start costs about the same, not a look at every target.
    @Test func manyTargetsCostLittleEach() throws {
        let all = Set(
            try (0..<65_000).map { number in
                let address = try IPv4Address(parsing: "10.\(96 + number / 62_500).\(number / 250 % 250).\(number % 250)")
                return ProbeTarget(.tcp, Endpoint(address: address, port: try Port(80)))
            })
        var schedule = ProbeSchedule()
        _ = schedule.set(all, now: .zero)
        let clock = ContinuousClock()
        var times: [Duration] = []
        for second in 1...600 {
            let now = Duration.seconds(second)
            let isDown = second < 300
            times.append(
                clock.measure {
                    finish(&schedule, schedule.take(now: now), fails: isDown, now: now)
                    _ = schedule.wait(now: now)
                })
        }
        // Of a debug build on a busy machine. Some 30 probes and 65,000 targets each: a look at every one takes hundreds of milliseconds.
        let middle = times.sorted()[times.count / 2]
        #expect(middle < .milliseconds(30), "\(middle)")
    }
}

private func port(of target: ProbeTarget) -> Port {
    switch target.place {
    case .endpoint(let endpoint): endpoint.port
    case .host(let host): host.port
    }
}
