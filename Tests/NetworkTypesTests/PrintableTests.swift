import Fixtures
import NetworkTypes
import Testing

@Suite struct PrintableTests {
    @Test(arguments: [
        ("plain", "plain"), ("bücher 東京", "bücher 東京"), ("a\nb", "a\\nb"), ("a\r", "a\\u{d}"), ("\u{1B}[31m", "\\u{1b}[31m"),
        ("a\u{0}b", "a\\u{0}b"),
        ("\"q\"", "\\\"q\\\""), ("a\\b", "a\\\\b"), ("\u{202E}evil", "\\u{202e}evil"), ("\u{200B}", "\\u{200b}"),
        ("\u{2028}", "\\u{2028}"),
        ("\u{85}", "\\u{85}"), ("\u{FEFF}", "\\u{feff}"), ("\u{E0041}", "\\u{e0041}"), ("\r\n", "\\u{d}\\n"),
    ])
    func showsWhatCouldForgeALine(text: String, shown: String) {
        #expect(printable(text) == shown)
    }

    @Test func cutsLongText() {
        #expect(printable("12345", limit: 5) == "12345")
        #expect(printable("123456", limit: 5) == "12345…")
        #expect(printable(String(repeating: "x", count: 10_000)).count == 81)
        #expect(printable("", limit: 0) == "")
    }

    @Test func leavesNothingThatControls() {
        var random = SeededRandom(seed: 6)
        for _ in 0..<500 {
            let shown = printable(String(decoding: random.bytes(40), as: UTF8.self))
            #expect(
                !shown.unicodeScalars.contains {
                    $0.properties.generalCategory == .control || $0.properties.generalCategory == .format
                })
        }
    }

    @Test func isWhatErrorsShow() {
        let error = InvalidValue(expected: "port", given: "1\n\u{1B}[2J", reason: "r")
        #expect(error.description == "\"1\\n\\u{1b}[2J\" is not a valid port: r")
    }
}
