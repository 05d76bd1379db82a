import Testing

@testable import Reconcilers

/// How soon what tells nothing by itself is looked at again.
@Suite struct NextLookTests {
    private func seconds(_ wait: NextLook.Wait?, _ looks: [Int]) -> [Int64] {
        looks.map { NextLook.after(wait, looks: $0).components.seconds }
    }

    @Test func waysToFallBackOnAreLookedAtMoreOften() {
        #expect(NextLook.after(nil, looks: 0, hasWays: true) == .seconds(20))
        #expect(NextLook.after(.uplinks, looks: 0, hasWays: true) == .seconds(1))
    }

    @Test func looksAgainSoonAndThenLessOften() {
        #expect(seconds(nil, [0, 100]) == [180, 180])
        #expect(seconds(.uplinks, [0, 1, 29, 30, 100_000]) == [1, 1, 1, 10, 10])
        #expect(seconds(.targets, [0, 1, 2, 3, 29, 30, 100_000]) == [1, 2, 3, 3, 3, 10, 10])
    }

    @Test func triesAgainSoonAndThenLessOften() {
        #expect((0..<6).map { NextLook.retry($0).components.seconds } == [1, 2, 4, 8, 8, 8])
        #expect((17..<25).map { NextLook.retry($0).components.seconds } == [8, 16, 32, 64, 128, 180, 180, 180])
        #expect(NextLook.retry(.max) == .seconds(180))
        let firstTwoMinutes = (0..<18).map { NextLook.retry($0) }.reduce(.zero, +)
        #expect(firstTwoMinutes == .seconds(127))
    }

    /// fail2ban's defaults: five failures within ten minutes.
    @Test func neverFeedsFail2ban() {
        var times = [Int64(0)]
        for tries in 0..<50 { times.append((times.last ?? 0) + NextLook.refused(tries).components.seconds) }
        #expect(times[1] <= 10 && times[3] <= 180, "what comes a little late is found soon")
        for first in 0..<(times.count - 4) { #expect(times[first + 4] - times[first] > 600) }
    }

    /// A message that counted the seconds would be news each time.
    @Test func saysTheSameWhileItIsTheSame() {
        let words = (0..<100).map { NextLook.words(retryIn: NextLook.retry($0)) }
        #expect(Set(words.prefix(18)) == ["tried again within 8 s"])
        #expect(Set(words).count == 6)
        #expect(words.last == "tried again within 180 s")
    }
}
