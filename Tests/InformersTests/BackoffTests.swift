import Testing

@testable import Informers

@Suite struct BackoffTests {
    private let start = ContinuousClock.now

    @Test func growsUpToItsLimit() {
        var backoff = Backoff()
        let waits = (0..<8).map { _ in backoff.next(now: start, random: 0, retryAfter: nil) }
        #expect(
            waits == [
                .milliseconds(800), .milliseconds(1600), .milliseconds(3200), .milliseconds(6400), .milliseconds(12800),
                .milliseconds(25600), .seconds(30), .seconds(30),
            ])
        #expect(backoff.next(now: start, random: 0.5, retryAfter: nil) == .seconds(45))
    }

    @Test func forgetsAfterAWhile() {
        var backoff = Backoff()
        for _ in 0..<5 { _ = backoff.next(now: start, random: 0, retryAfter: nil) }
        #expect(backoff.next(now: start + .seconds(120), random: 0, retryAfter: nil) == .milliseconds(25600))
        #expect(backoff.next(now: start + .seconds(241), random: 0, retryAfter: nil) == .milliseconds(800))
    }

    @Test func waitsAsLongAsTheServerAsks() {
        var backoff = Backoff()
        #expect(backoff.next(now: start, random: 0, retryAfter: 7) == .seconds(7))
        #expect(backoff.next(now: start, random: 0.5, retryAfter: 10) == .seconds(11))
        #expect(backoff.next(now: start, random: 0, retryAfter: 0) == .milliseconds(3200))
    }
}
