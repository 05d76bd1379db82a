import Testing

@testable import UplinkAgent

@Suite struct RelayRhythmTests {
    private func asked(_ times: [Int64]) -> RelayRhythm {
        var rhythm = RelayRhythm()
        for time in times { rhythm.ask(at: .milliseconds(time)) }
        return rhythm
    }

    /// Milliseconds at which a relay asks, and whether that is every second.
    @Test(
        arguments: [
            ([], false), ([0, 1000, 2000, 3000], false), ([0, 1000, 2000, 3000, 4000], true),
            // Some of them were lost.
            ([0, 1000, 3000, 5000, 6000], true),
            // Every 500 ms, and every 100.
            (Array(stride(from: Int64(0), through: 2000, by: 500)), true),
            (Array(stride(from: Int64(0), through: 2000, by: 100)), true),
            // Five bindings at once, every 5 s.
            ([0, 1, 2, 3, 4], false), ([0, 1, 2, 5000, 5001, 5002, 10_000, 10_001, 10_002], false),
            (Array(stride(from: Int64(0), through: 60_000, by: 2000)), false),
            // It did, and does so no longer.
            ([0, 1000, 2000, 3000, 4000, 9000, 14_000], false),
        ] as [([Int64], Bool)])
    func theRhythmIsLearned(times: [Int64], isKnown: Bool) {
        #expect(asked(times).isKnown == isKnown)
    }

    @Test func silenceIsKnownAfterThreeSeconds() {
        let rhythm = asked([0, 1000, 2000, 3000, 4000])
        #expect(rhythm.silence(now: .milliseconds(7000)) == nil)
        #expect(rhythm.silence(now: .milliseconds(7001)) == .milliseconds(3001))
        #expect(rhythm.silence(now: .milliseconds(60_000)) == .milliseconds(56_000))
    }

    @Test func aQuestionEndsIt() {
        var rhythm = asked([0, 1000, 2000, 3000, 4000])
        rhythm.ask(at: .milliseconds(20_000))
        #expect(rhythm.silence(now: .milliseconds(20_000)) == nil)
    }

    @Test func neverWithoutARhythm() {
        for interval: Int64 in [2000, 5000, 30_000] {
            var rhythm = RelayRhythm()
            for time in stride(from: Int64(0), through: 600_000, by: 100) {
                if time % interval < 300 { rhythm.ask(at: .milliseconds(time)) }
                #expect(rhythm.silence(now: .milliseconds(time)) == nil)
            }
        }
    }

    /// A relay that was put back to a former release gives one false alarm, not one every time.
    @Test func aRhythmThatEndsIsForgotten() {
        var rhythm = asked([0, 1000, 2000, 3000, 4000])
        var alarms = 0
        for time in stride(from: Int64(4100), through: 600_000, by: 100) {
            if time % 5000 == 0 { rhythm.ask(at: .milliseconds(time)) }
            if rhythm.silence(now: .milliseconds(time)) != nil && (time - 100) % 5000 >= 3000
                && rhythm.silence(now: .milliseconds(time - 100)) == nil
            {
                alarms += 1
            }
        }
        #expect(alarms <= 1)
    }

    @Test func bytesAreASignOfLife() {
        var rhythm = asked([0, 1000, 2000, 3000, 4000])
        rhythm.count(receivedBytes: 100, at: .milliseconds(4500))
        // They came with the last question: they say nothing of later.
        rhythm.count(receivedBytes: 200, at: .milliseconds(5500))
        #expect(rhythm.silence(now: .milliseconds(8400)) == nil)
        #expect(rhythm.silence(now: .milliseconds(8501)) == .milliseconds(3001))
        // Traffic, but no question.
        for time in stride(from: Int64(6500), through: 30_500, by: 1000) {
            rhythm.count(receivedBytes: UInt64(time), at: .milliseconds(time))
            #expect(rhythm.silence(now: .milliseconds(time + 1000)) == nil)
        }
        // The counter stands, or begins anew with the session.
        rhythm.count(receivedBytes: 30_500, at: .milliseconds(31_500))
        rhythm.count(receivedBytes: 0, at: .milliseconds(32_500))
        rhythm.count(receivedBytes: 0, at: .milliseconds(33_500))
        #expect(rhythm.silence(now: .milliseconds(33_501)) == .milliseconds(3001))
    }

    @Test func theFirstBytesBelongToTheQuestionBeforeThem() {
        var rhythm = asked([0, 1000, 2000, 3000])
        rhythm.count(receivedBytes: 50, at: .milliseconds(3500))
        rhythm.ask(at: .milliseconds(4000))
        rhythm.count(receivedBytes: 100, at: .milliseconds(4500))
        #expect(rhythm.silence(now: .milliseconds(7001)) == .milliseconds(3001))
    }
}
