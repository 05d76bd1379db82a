import Testing

@testable import PrometheusMetrics

@Suite struct ExpositionTests {
    @Test func aFamilyIsWrittenAsTheFormatSays() {
        var exposition = Exposition()
        exposition.write(
            MetricFamily(.gauge, "bindings", labels: ["node", "state"], help: "By state."),
            [Sample(2, labels: ["b", "x"]), Sample(0.5, labels: ["a", "y"]), Sample(true, labels: ["a", "x"])])
        exposition.write(MetricFamily(.counter, "seen_total", help: "What was seen."), 7)
        #expect(
            exposition.text == """
                # HELP bindings By state.
                # TYPE bindings gauge
                bindings{node="a",state="x"} 1
                bindings{node="a",state="y"} 0.5
                bindings{node="b",state="x"} 2
                # HELP seen_total What was seen.
                # TYPE seen_total counter
                seen_total 7

                """)
    }

    @Test func aFamilyWithoutSamplesIsLeftOut() {
        var exposition = Exposition()
        exposition.write(MetricFamily(.gauge, "none", help: "Nothing."), [])
        #expect(exposition.text.isEmpty)
    }

    @Test(arguments: [
        ("plain", "plain"), (#"a"b"#, #"a\"b"#), (#"a\b"#, #"a\\b"#), ("a\nb", #"a\nb"#), ("a\r\nb", "a\r\\nb"), ("ü", "ü"),
        ("\"} 1\nfaked 1", #"\"} 1\nfaked 1"#),
    ])
    func aLabelsValueCannotEndItsLine(value: String, written: String) {
        var exposition = Exposition()
        exposition.write(MetricFamily(.gauge, "m", labels: ["l"], help: "Help."), [Sample(1, labels: [value])])
        let line = exposition.text.unicodeScalars.split(separator: "\n").last.map(String.init)
        #expect(line == "m{l=\"\(written)\"} 1")
    }

    @Test func aHelpKeepsItsQuotes() {
        var exposition = Exposition()
        exposition.write(MetricFamily(.gauge, "m", help: "a \"b\" \\ c\nd"), 1)
        #expect(exposition.text.hasPrefix("# HELP m a \"b\" \\\\ c\\nd\n# TYPE"))
    }

    @Test(
        arguments: [
            (0, "0"), (-3, "-3"), (0.25, "0.25"), (1e-8, "1e-08"), (1_795_255_200, "1795255200"),
            (9_007_199_254_740_992, "9007199254740992"),
            (1e19, "1e+19"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
        ] as [(Double, String)])
    func aNumberIsReadBackTheSame(number: Double, written: String) {
        #expect(Exposition.text(of: number) == written)
    }

    @Test func aHistogramCountsUpwards() {
        var distribution = Distribution(bounds: [0.1, 1])
        for value in [0.1, 0.05, 0.5, 7, .nan] { distribution.observe(value) }
        var exposition = Exposition()
        exposition.write(
            MetricFamily(.histogram, "t_seconds", labels: ["q"], help: "Time."), [Sample(.histogram(distribution), labels: ["x"])]
        )
        #expect(
            exposition.text.hasSuffix(
                """
                t_seconds_bucket{q="x",le="0.1"} 2
                t_seconds_bucket{q="x",le="1"} 3
                t_seconds_bucket{q="x",le="+Inf"} 4
                t_seconds_sum{q="x"} 7.65
                t_seconds_count{q="x"} 4

                """))
    }
}
