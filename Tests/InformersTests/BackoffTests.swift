import Testing

@testable import Timing

@Suite struct BackoffTests {
    private let start = ContinuousClock.now

    @Test func growsUpToItsLimit() {
        var backoff = Backoff()
        let waits = (0..<8).map { _ in backoff.next(now: start, random: 0, retryAfter: nil) }
        #expect(
            waits == [
                .milliseconds(800), .milliseconds(1600), .milliseconds(3200), .milliseconds(6400), .seconds(10), .seconds(10),
                .seconds(10), .seconds(10),
            ])
        #expect(backoff.next(now: start, random: 0.5, retryAfter: nil) == .seconds(15))
    }

    @Test func forgetsAfterAWhile() {
        var backoff = Backoff()
        for _ in 0..<5 { _ = backoff.next(now: start, random: 0, retryAfter: nil) }
        #expect(backoff.next(now: start + .seconds(120), random: 0, retryAfter: nil) == .seconds(10))
        #expect(backoff.next(now: start + .seconds(241), random: 0, retryAfter: nil) == .milliseconds(800))
    }

    @Test func waitsAsLongAsTheServerAsks() {
        var backoff = Backoff()
        #expect(backoff.next(now: start, random: 0, retryAfter: 7) == .seconds(7))
        #expect(backoff.next(now: start, random: 0.5, retryAfter: 10) == .seconds(11))
        #expect(backoff.next(now: start, random: 0, retryAfter: 0) == .milliseconds(3200))
    }

    @Test func forgivesOnceAMinute() {
        var backoff = Backoff()
        func wait(_ second: Int) -> Duration { backoff.next(now: start + .seconds(second), random: 0, retryAfter: nil) }
        for second in 0..<9 { _ = wait(second) }
        backoff.succeeded(now: start + .seconds(10))
        #expect(wait(10) == .milliseconds(800))
        // Failures and successes in turn: the waits grow all the same.
        for second in 11..<16 {
            backoff.succeeded(now: start + .seconds(second))
            _ = wait(second)
        }
        #expect(wait(16) == .seconds(10))
        backoff.succeeded(now: start + .seconds(71))
        #expect(wait(71) == .milliseconds(800))
    }
}
