import Fixtures
import NetworkTypes
import Testing

private let us: Int64 = 1000
private let ms: Int64 = 1_000_000
private let s: Int64 = 1_000_000_000
private let minute: Int64 = 60_000_000_000
private let hour: Int64 = 3_600_000_000_000

@Suite struct GoDurationTests {
    /// `parseDurationTests` of Go's time/time_test.go.
    static let parsed: [(String, Int64)] = [
        ("0", 0), ("5s", 5 * s), ("30s", 30 * s), ("1478s", 1478 * s),
        // sign
        ("-5s", -5 * s), ("+5s", 5 * s), ("-0", 0), ("+0", 0),
        // decimal
        ("5.0s", 5 * s), ("5.6s", 5 * s + 600 * ms), ("5.s", 5 * s), (".5s", 500 * ms), ("1.0s", s), ("1.00s", s),
        ("1.004s", s + 4 * ms), ("1.0040s", s + 4 * ms), ("100.00100s", 100 * s + ms),
        // units
        ("10ns", 10), ("11us", 11 * us), ("12µs", 12 * us), ("12μs", 12 * us), ("13ms", 13 * ms), ("14s", 14 * s),
        ("15m", 15 * minute),
        ("16h", 16 * hour),
        // composite
        ("3h30m", 3 * hour + 30 * minute), ("10.5s4m", 4 * minute + 10 * s + 500 * ms),
        ("-2m3.4s", -(2 * minute + 3 * s + 400 * ms)),
        ("1h2m3s4ms5us6ns", hour + 2 * minute + 3 * s + 4 * ms + 5 * us + 6),
        ("39h9m14.425s", 39 * hour + 9 * minute + 14 * s + 425 * ms),
        // large
        ("52763797000ns", 52_763_797_000), ("0.3333333333333333333h", 20 * minute), ("9007199254740993ns", 9_007_199_254_740_993),
        ("9223372036854775807ns", .max), ("9223372036854775.807us", .max), ("9223372036s854ms775us807ns", .max),
        ("-9223372036854775808ns", .min), ("-9223372036854775.808us", .min), ("-9223372036s854ms775us808ns", .min),
        ("-2562047h47m16.854775808s", .min),
        // long fractions
        ("0.100000000000000000000h", 6 * minute), ("0.830103483285477580700h", 49 * minute + 48 * s + 372_539_827),
    ]

    @Test(arguments: parsed) func parsesWhatGoParses(text: String, nanoseconds: Int64) throws {
        #expect(try GoDuration(parsing: text).nanoseconds == nanoseconds)
    }

    /// `parseDurationErrorTests` of the same file, and the limits of a sum.
    @Test(arguments: [
        "", "3", "-", "s", ".", "-.", ".s", "+.s", "1d", "hello \u{FFFD} world", "3000000h", "9223372036854775808ns",
        "9223372036854775.808us", "9223372036854ms775us808ns", "-9223372036854775809ns",
        "9223372036854775808ns9223372036854775808ns",
        "18446744073709551616ns", "1 s", "1s ", " 1s", "1S", "1h30", "١s", "1s\u{0}", "--1s", "1e3s", "0x1s",
    ])
    func refusesWhatGoRefuses(text: String) {
        #expect(throws: InvalidValue.self) { try GoDuration(parsing: text) }
    }

    /// `durationTests` of the same file.
    static let printed: [(String, Int64)] = [
        ("0s", 0), ("1ns", 1), ("1.1µs", 1100), ("2.2ms", 2200 * us), ("3.3s", 3300 * ms), ("4m5s", 4 * minute + 5 * s),
        ("4m5.001s", 4 * minute + 5001 * ms), ("5h6m7.001s", 5 * hour + 6 * minute + 7001 * ms),
        ("8m0.000000001s", 8 * minute + 1),
        ("2562047h47m16.854775807s", .max), ("-2562047h47m16.854775808s", .min),
    ]

    @Test(arguments: printed) func printsAsGoPrints(text: String, nanoseconds: Int64) {
        #expect(GoDuration(nanoseconds: nanoseconds).description == text)
    }

    static let protobuf: [(Int64, String)] = [
        (0, "0s"), (1, "0.000000001s"), (1500 * ms, "1.5s"), (3600 * s, "3600s"), (-250 * ms, "-0.25s"),
        (.min, "-9223372036.854775808s"),
    ]

    @Test(arguments: protobuf) func writesProtobufSeconds(nanoseconds: Int64, text: String) {
        #expect(GoDuration(nanoseconds: nanoseconds).protobufJSON == text)
    }

    @Test func readsBackWhatItPrints() throws {
        var random = SeededRandom(seed: 1)
        for _ in 0..<2000 {
            // Of every magnitude, not only the largest.
            let nanoseconds = Int64(truncatingIfNeeded: random.next()) >> Int64.random(in: 0..<64, using: &random)
            let duration = GoDuration(nanoseconds: nanoseconds)
            #expect(try GoDuration(parsing: duration.description) == duration)
        }
    }

    @Test func survivesAnyText() {
        var random = SeededRandom(seed: 2)
        var accepted = 0
        for _ in 0..<5000 {
            let text = random.text(of: "0123456789..hmsnuµ+-", limit: 12)
            guard let duration = GoDuration(text) else { continue }
            accepted += 1
            #expect(GoDuration(duration.description) == duration)
        }
        // The alphabet is chosen so that chance finds valid ones too.
        #expect(accepted > 50)
    }

    @Test func saysWhatIsMissing() {
        let error = #expect(throws: InvalidValue.self) { try GoDuration(parsing: "30") }
        #expect(error?.description == "\"30\" is not a valid duration: a unit is missing: ns, us, ms, s, m or h")
    }
}
