import Testing

@testable import UplinkAgent

@Suite struct RelaySilenceTests {
    /// What is done at each second, when the device's counter reads so: `.` waits, `s` speaks, `R` renews.
    private func steps(_ receivedBytes: [UInt64], isAskedEachSecond: Bool = false) -> String {
        var silence = RelaySilence()
        return receivedBytes.indices.reduce(into: "") { text, second in
            let step = silence.next(
                receivedBytes: receivedBytes[second], isAskedEachSecond: isAskedEachSecond, now: Int64(second))
            switch step {
            case .wait: text += "."
            case .speak: text += "s"
            case .renew: text += "R"
            }
        }
    }

    @Test func aRelayThatIsHeardIsLeftAlone() {
        #expect(steps((0..<20).map { UInt64($0 / 2) }) == "....................")
    }

    @Test func aSilentRelayIsSpokenToAndTheSessionBegunAnewOnce() {
        #expect(steps(Array(repeating: 7, count: 12)) == "...sssRsssss")
        #expect(steps(Array(repeating: 7, count: 7) + Array(repeating: 0, count: 5)) == "...sssRsssss")
    }

    /// Before `RelayRhythm` takes a relay whose prober has ended for a tunnel that has fallen.
    @Test func aRelayThatUsedToAskIsSpokenToSooner() {
        #expect(steps(Array(repeating: 7, count: 8), isAskedEachSecond: true) == ".sssssRs")
    }

    @Test func aByteBeginsTheWaitAnew() {
        #expect(steps(Array(repeating: 7, count: 5) + Array(repeating: 8, count: 5)) == "...ss...ss")
        let renewedThenHeard: [UInt64] = Array(repeating: 7, count: 7) + [0, 92, 92, 92, 92]
        #expect(steps(renewedThenHeard) == "...sssRs...s")
    }

    @Test func saysHowLongNothingWasHeard() {
        var silence = RelaySilence()
        #expect(silence.duration(now: 100) == 0)
        for now: Int64 in 100...130 { _ = silence.next(receivedBytes: now < 105 ? UInt64(now) : 104, now: now) }
        #expect(silence.duration(now: 130) == 26)
    }
}
