import Testing

@testable import UplinkAgent

@Suite struct RelaySilenceTests {
    @Test func aRelayThatIsHeardIsLeftAlone() {
        var silence = RelaySilence()
        for second in 0..<60 { #expect(!silence.mustSpeak(receivedBytes: UInt64(second / 5), now: Int64(second))) }
    }

    @Test func aSilentRelayIsSpokenToAgainAndAgain() {
        var silence = RelaySilence()
        let spoken = (0..<30).filter { silence.mustSpeak(receivedBytes: 7, now: $0) }
        #expect(spoken == [6, 12, 18, 24])
    }

    @Test func theFirstByteEndsIt() {
        var silence = RelaySilence()
        _ = (0..<7).map { silence.mustSpeak(receivedBytes: 7, now: $0) }
        #expect(!silence.mustSpeak(receivedBytes: 8, now: 12))
        #expect(!silence.mustSpeak(receivedBytes: 8, now: 17))
        #expect(silence.mustSpeak(receivedBytes: 8, now: 18))
    }
}
