import Testing

@testable import UplinkAgent

@Suite struct RelaySilenceTests {
    /// What is done at each second, when the device's counter reads so: `.` waits, `s` speaks, `R` renews first, `r` again.
    private func steps(_ receivedBytes: [UInt64], isAskedEachSecond: Bool = false) -> String {
        var silence = RelaySilence()
        return receivedBytes.indices.reduce(into: "") { text, second in
            let step = silence.next(
                receivedBytes: receivedBytes[second], isAskedEachSecond: isAskedEachSecond, now: .seconds(second))
            switch step {
            case .wait: text += "."
            case .speak: text += "s"
            case .renew(let isFirst): text += isFirst ? "R" : "r"
            }
        }
    }

    @Test func aRelayThatIsHeardIsLeftAlone() {
        #expect(steps((0..<20).map { UInt64($0 / 2) }) == "....................")
    }

    @Test func aSilentRelayIsSpokenToAndTheSessionBegunAnewEachSecond() {
        #expect(steps(Array(repeating: 7, count: 12)) == "...sssRrrrrr")
        #expect(steps(Array(repeating: 7, count: 7) + Array(repeating: 0, count: 5)) == "...sssRrrrrr")
    }

    /// An answer may take longer than a second.
    @Test func aRelayThatStaysSilentIsLeftToWireGuard() {
        let all = steps(Array(repeating: 7, count: 40))
        #expect(all.filter { $0 == "R" }.count == 1)
        #expect(all.suffix(10) == "ssssssssss" && all.filter { $0 == "r" }.count == 23)
    }

    /// Before `RelayRhythm` takes a relay whose prober has ended for a tunnel that has fallen.
    @Test func aRelayThatUsedToAskIsSpokenToSooner() {
        #expect(steps(Array(repeating: 7, count: 8), isAskedEachSecond: true) == ".sssssRr")
    }

    @Test func aByteBeginsTheWaitAnew() {
        #expect(steps(Array(repeating: 7, count: 5) + Array(repeating: 8, count: 5)) == "...ss...ss")
        let renewedThenHeard: [UInt64] = Array(repeating: 7, count: 7) + [0, 92, 92, 92, 92]
        #expect(steps(renewedThenHeard) == "...sssRr...s")
    }

    @Test func saysHowLongNothingWasHeard() {
        var silence = RelaySilence()
        #expect(silence.duration(now: .seconds(100)) == .zero)
        for now in 100...130 { _ = silence.next(receivedBytes: now < 105 ? UInt64(now) : 104, now: .seconds(now)) }
        #expect(silence.duration(now: .seconds(130)) == .seconds(26))
    }
}
