import Testing

@testable import UplinkAgent

@Suite struct RelaySilenceTests {
    /// The seconds at which something is said, when the device's counter reads so at each second.
    private func spoken(_ receivedBytes: [UInt64]) -> [Int] {
        var silence = RelaySilence()
        return receivedBytes.indices.filter { silence.mustSpeak(receivedBytes: receivedBytes[$0], now: Int64($0)) }
    }

    @Test func aRelayThatIsHeardIsLeftAlone() {
        #expect(spoken((0..<60).map { UInt64($0 / 5) }) == [])
    }

    @Test func aSilentRelayIsSpokenToAgainAndAgain() {
        #expect(spoken(Array(repeating: 7, count: 30)) == [6, 12, 18, 24])
    }

    @Test func aByteBeginsTheWaitAnew() {
        #expect(spoken(Array(repeating: 7, count: 8) + Array(repeating: 8, count: 8)) == [6, 14])
    }

    @Test func saysHowLongNothingWasHeard() {
        var silence = RelaySilence()
        #expect(silence.duration(now: 100) == 0)
        for now: Int64 in 100...130 { _ = silence.mustSpeak(receivedBytes: now < 105 ? UInt64(now) : 104, now: now) }
        #expect(silence.duration(now: 130) == 26)
    }
}
