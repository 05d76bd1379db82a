import KubernetesAPI
import Testing

@Suite struct MicroTimeTests {
    // GNU date: date -u -d @SECONDS
    @Test(arguments: [
        (0, "1970-01-01T00:00:00.000000Z"), (1, "1970-01-01T00:00:00.000001Z"),
        (-1, "1969-12-31T23:59:59.999999Z"), (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_709_251_199_123_456, "2024-02-29T23:59:59.123456Z"), (1_709_251_200_000_000, "2024-03-01T00:00:00.000000Z"),
        (4_107_542_399_000_000, "2100-02-28T23:59:59.000000Z"), (4_107_542_400_000_000, "2100-03-01T00:00:00.000000Z"),
        (1_795_254_602_123_456, "2026-11-21T09:50:02.123456Z"),
    ])
    func writesAndReads(_ microseconds: Int64, _ text: String) {
        #expect(MicroTime(microseconds: microseconds).description == text)
        #expect(MicroTime(parsing: text)?.microseconds == microseconds)
    }

    @Test func everyDayOfTwoCenturies() {
        let days = Int64(-40_000)..<40_000
        let times = days.map { MicroTime(microseconds: $0 * 86_400_000_000 + 5) }
        #expect(times.filter { MicroTime(parsing: $0.description) != $0 } == [])
    }

    @Test(arguments: [
        "", "2026-11-21T09:50:02Z", "2026-11-21T09:50:02.123Z", "2026-11-21T09:50:02.1234567Z", "2026-11-21 09:50:02.123456Z",
        "2026-13-21T09:50:02.123456Z", "2026-11-00T09:50:02.123456Z", "2026-11-21T24:50:02.123456Z",
        "2026-11-21T09:50:02.123456+00:00", "２０26-11-21T09:50:02.123456Z",
    ])
    func refuses(_ text: String) {
        #expect(MicroTime(parsing: text) == nil)
    }
}
