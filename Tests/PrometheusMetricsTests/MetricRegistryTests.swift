import Testing

@testable import PrometheusMetrics

private struct ByName: MetricLabels {
    static let names = ["name"]
    let name: String
    var values: [String] { [name] }
}

@Suite struct MetricRegistryTests {
    private let registry = MetricRegistry()

    private func register(_ kind: MetricFamily.Kind, _ name: String, labels: [String] = []) -> MetricError? {
        do throws(MetricError) {
            try registry.register(MetricFamily(kind, name, labels: labels, help: "Help.")) { [] }
            return nil
        } catch {
            return error
        }
    }

    @Test func aNameIsTakenOnce() {
        #expect(register(.gauge, "a") == nil)
        #expect(register(.counter, "a") == .duplicate("a"))
        #expect(register(.gauge, "a_count") == nil)
        // Its lines would mix with those of the gauge.
        #expect(register(.histogram, "a") == .duplicate("a"))
        #expect(register(.histogram, "b") == nil)
        #expect(register(.counter, "b_sum") == .duplicate("b_sum"))
    }

    @Test(arguments: ["", "1a", "a-b", "a b", "ä", "a{", "a\n"]) func aBadNameIsRefused(name: String) {
        #expect(register(.gauge, name) == .badName(name))
        #expect(register(.gauge, "a", labels: [name]) == .badLabel(name, of: "a"))
    }

    @Test(arguments: ["le", "__name__", "a:b", "x"]) func aBadLabelIsRefused(label: String) {
        #expect(register(.gauge, "a", labels: ["x", label]) == .badLabel(label, of: "a"))
    }

    @Test func instrumentsAreRenderedByName() throws {
        let gauge = try Gauge<NoLabels>("z", help: "Last.", in: registry)
        let counter = try Counter<ByName>("c_total", help: "Counted.", in: registry)
        let histogram = try Histogram<NoLabels>("h_seconds", bounds: [1], help: "Timed.", in: registry)
        #expect(registry.render().isEmpty)
        gauge.set(NoLabels(), to: 3)
        gauge.add(NoLabels(), -1)
        counter.increment(ByName(name: "b"), by: 0)
        counter.increment(ByName(name: "a"))
        counter.increment(ByName(name: "a"), by: 0.5)
        counter.increment(ByName(name: "a"), by: -4)
        histogram.begin(NoLabels())
        #expect(
            registry.render() == """
                # HELP c_total Counted.
                # TYPE c_total counter
                c_total{name="a"} 1.5
                c_total{name="b"} 0
                # HELP h_seconds Timed.
                # TYPE h_seconds histogram
                h_seconds_bucket{le="1"} 0
                h_seconds_bucket{le="+Inf"} 0
                h_seconds_sum 0
                h_seconds_count 0
                # HELP z Last.
                # TYPE z gauge
                z 2

                """)
    }

    @Test func aRemovedSeriesIsGone() throws {
        let counter = try Counter<ByName>("c_total", help: "Counted.", in: registry)
        counter.increment(ByName(name: "a"))
        counter.increment(ByName(name: "b"))
        counter.remove { $0.name == "a" }
        #expect(registry.render().contains("c_total{name=\"b\"} 1\n"))
        #expect(!registry.render().contains("\"a\""))
    }

    @Test func countsFromManyTasksAllCount() async throws {
        let counter = try Counter<ByName>("c_total", help: "Counted.", in: registry)
        await withDiscardingTaskGroup { tasks in
            for task in 0..<8 {
                tasks.addTask { for _ in 0..<1000 { counter.increment(ByName(name: "\(task % 2)")) } }
            }
        }
        #expect(registry.render().contains("c_total{name=\"0\"} 4000\nc_total{name=\"1\"} 4000\n"))
    }
}
