import LinkProtocol
import Testing

@Suite struct DialPlanTests {
    @Test func `Links of one uplink begin apart`() {
        #expect((0..<3).map { DialPlan(carriers: 2, slot: $0).next(chance: 0.5).delay } == [0, 2, 4])
    }

    @Test func `The next carrier is tried at once, and after the last one there is a wait that grows`() {
        var plan = DialPlan(carriers: 2, slot: 0)
        var attempts: [DialPlan.Attempt] = []
        for _ in 0..<20 {
            attempts.append(plan.next(chance: 0.999_999))
            plan.failed()
        }
        #expect(attempts.map(\.carrier) == (0..<20).map { $0 % 2 })
        #expect(attempts.filter { $0.carrier == 1 }.allSatisfy { $0.delay == 0 })
        let waits = attempts.filter { $0.carrier == 0 }.map { ($0.delay * 100).rounded() / 100 }
        #expect(waits == [0, 0.5, 1, 2, 4, 8, 15, 15, 15, 15])
    }

    @Test func `A link whose edge leaves is followed soon, by its own carrier first`() {
        let plan = DialPlan(carriers: 3, slot: 0)
        #expect(plan.move(from: 1, tries: 0, chance: 0.5) == DialPlan.Renewal(carriers: [1, 0, 2], delay: 0.125))
        #expect((1...5).map { plan.move(from: 1, tries: $0, chance: 0.5).delay } == [0.5, 1, 2, 2, 2])
    }

    @Test func `Chance spreads a wait over its second half`() {
        var plan = DialPlan(carriers: 1, slot: 0)
        for _ in 0..<5 { plan.failed() }
        #expect(plan.next(chance: 0).delay == 4)
        #expect(plan.next(chance: 0.5).delay == 6)
    }

    @Test func `After a good link its carrier comes first, nearly at once, and then the others in order`() {
        var plan = DialPlan(carriers: 3, slot: 2)
        plan.failed()
        plan.established(over: 1, now: 0)
        plan.ended(after: 60)
        #expect(plan.next(chance: 0.4) == DialPlan.Attempt(carrier: 1, delay: 0.1))
        plan.failed()
        #expect(plan.next(chance: 0.4) == DialPlan.Attempt(carrier: 0, delay: 0))
        plan.failed()
        #expect(plan.next(chance: 0.4) == DialPlan.Attempt(carrier: 2, delay: 0))
        plan.failed()
        // A round has failed: the order of preference counts again.
        #expect(plan.next(chance: 0) == DialPlan.Attempt(carrier: 0, delay: 0.25))
    }

    @Test func `The preferred carrier is tried again after 30 s, then less and less often`() {
        var plan = DialPlan(carriers: 3, slot: 0)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 0) == nil)
        plan.failed()
        plan.failed()
        plan.established(over: 2, now: 0)
        var delays: [Double] = []
        for _ in 0..<6 {
            let renewal = plan.renewal(lifetime: nil, age: 1_000, now: 0)
            #expect(renewal?.carriers == [0, 1])
            delays.append(renewal?.delay ?? 0)
            plan.returnFailed(now: 0)
        }
        #expect(delays == [30, 60, 120, 240, 300, 300])
        // The one before is better than the last, and not the best.
        plan.established(over: 1, now: 0)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 0) == DialPlan.Renewal(carriers: [0], delay: 300))
        plan.established(over: 0, now: 0)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 0) == nil)
        plan.established(over: 1, now: 0)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 0)?.delay == 30)
    }

    @Test func `Links that end and are replaced put the return off by nothing`() {
        var plan = DialPlan(carriers: 2, slot: 0)
        plan.failed()
        plan.established(over: 1, now: 100)
        for now in stride(from: 106.0, to: 130, by: 6) {
            plan.ended(after: 6)
            plan.established(over: 1, now: now)
            #expect(plan.renewal(lifetime: nil, age: 0, now: now)?.delay == 130 - now)
        }
        // Late, as another wait was longer: at once.
        #expect(plan.renewal(lifetime: nil, age: 0, now: 140) == DialPlan.Renewal(carriers: [0], delay: 0))
        plan.returnFailed(now: 140)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 150)?.delay == 50)
        // The preferred carrier was tried and failed meanwhile, with all others.
        plan.ended(after: 6)
        for _ in 0..<2 { plan.failed() }
        plan.failed()
        plan.established(over: 1, now: 160)
        #expect(plan.renewal(lifetime: nil, age: 0, now: 160)?.delay == 60)
    }

    @Test(
        arguments: [
            // Slot, carrier, lifetime, age: carriers, delay.
            (0, 0, 60.0, 0.0, [0], 48.0), (1, 0, 60, 0, [0], 39), (0, 0, 60, 40, [0], 8), (0, 0, 60, 50, [0], 0),
            (0, 1, 60, 0, [0], 30), (0, 1, 30, 0, [0, 1], 24), (1, 1, 60, 38, [0, 1], 1),
        ] as [(Int, Int, Double, Double, [Int], Double)])
    func `A link that will be cut is renewed before, each slot at another age`(
        slot: Int, carrier: Int, lifetime: Double, age: Double, carriers: [Int], delay: Double
    ) throws {
        var plan = DialPlan(carriers: 2, slot: slot, slots: 2)
        plan.established(over: carrier, now: 0)
        let renewal = try #require(plan.renewal(lifetime: lifetime, age: age, now: 0))
        #expect(renewal.carriers == carriers)
        #expect(abs(renewal.delay - delay) < 0.001)
    }

    @Test(
        arguments: [
            // Ages and times of ends: the rule.
            ([(60.0, 60.0), (60, 62)], 60.0), ([(60, 60), (57, 120)], 57), ([(60, 60), (50, 120)], nil),
            // Both at once: the edge was restarted.
            ([(60, 62), (62, 62.1)], nil), ([(60, 60)], nil), ([(6, 6), (6, 12)], nil),
            ([(600, 600), (60, 660), (61, 721)], 60),
        ] as [([(Double, Double)], Double?)])
    func `Two links that were cut at one age make a rule`(ends: [(Double, Double)], rule: Double?) {
        var lifetimes = LinkLifetimes()
        for (age, time) in ends { lifetimes.cut(at: age, now: time) }
        #expect(lifetimes.steady == rule)
        lifetimes.outlived(65)
        #expect(lifetimes.steady == rule)
        lifetimes.outlived(100)
        #expect(lifetimes.steady == nil)
    }

    @Test func `A link that dies young is like one that did not come about`() {
        var plan = DialPlan(carriers: 2, slot: 0)
        plan.ended(after: 1)
        #expect(plan.next(chance: 0) == DialPlan.Attempt(carrier: 1, delay: 0))
    }

    @Test func `A million failures wait no longer than a few`() {
        var plan = DialPlan(carriers: 1, slot: 0)
        for _ in 0..<1_000_000 { plan.failed() }
        #expect(plan.next(chance: 0.999).delay <= 15)
    }
}

/// What an HTTP proxy answers.
@Suite struct ProxyAnswerTests {
    private func answer(_ text: String, in size: Int) -> (ProxyAnswerReader.Answer?, Int) {
        var reader = ProxyAnswerReader()
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: size) {
            let piece = Array(bytes[start..<min(start + size, bytes.count)])
            var offset = 0
            if let answer = reader.read(piece.span.bytes, &offset) { return (answer, start + offset) }
        }
        return (nil, bytes.count)
    }

    @Test(arguments: [
        ("HTTP/1.1 200 OK\r\n\r\n", ProxyAnswerReader.Answer.connected), ("HTTP/1.0 200\r\n\r\n", .connected),
        ("HTTP/1.1 299 x\nVia: y\n\n", .connected),
        ("HTTP/1.1 407 Auth\r\nProxy-Authenticate: Basic\r\n\r\n", .refused(status: 407)),
        ("HTTP/1.1 503 \r\n\r\n", .refused(status: 503)), ("HTTP/1.1 20x OK\r\n\r\n", .malformed),
        ("HTTP/1.1 2000 OK\r\n\r\n", .malformed), ("HTTP/2 200 OK\r\n\r\n", .malformed), ("\r\n\r\n", .malformed),
        ("HTTP/1.1 099 x\r\n\r\n", .malformed), ("HTTP/1.1\r\n\r\n", .malformed),
    ])
    func `Answers are read wherever they are cut, and no byte behind them`(text: String, expected: ProxyAnswerReader.Answer) {
        for size in [1, 2, 3, 7, 1000] {
            let (found, used) = answer(text + "\u{16}\u{3}rest", in: size)
            #expect(found == expected)
            #expect(used == text.utf8.count)
        }
    }

    @Test func `A header without end is none`() {
        #expect(answer("HTTP/1.1 200 OK\r\n" + String(repeating: "x", count: 1_600_000), in: 4096).0 == .malformed)
        #expect(answer("HTTP/1.1 200 OK\r\nx: y\r\n", in: 5).0 == nil)
    }
}
