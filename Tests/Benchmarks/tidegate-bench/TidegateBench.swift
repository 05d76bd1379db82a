import Fixtures
import NodeDocument
import Planning

/// The benchmarks that need no machine but this one. Prints a row of JSON for each budget; see Tests/Benchmarks/run.
@main
struct TidegateBench {
    static func main() throws {
        let one = try mixedInput(bindings: 10_000)
        let half = try mixedInput(bindings: 5_000)
        try check(one, bindings: 10_000)
        let whole = median { _ = makePlan(one) }
        report("planning 10,000 bindings on one node", whole, unit: "s", limit: 1)

        let many = try (0..<1000).map { try mixedInput(bindings: 10, node: "edge-\($0)") }
        for input in many { try check(input, bindings: 10) }
        report("planning 1,000 nodes of 10 bindings", median { for input in many { _ = makePlan(input) } }, unit: "s", limit: 1)

        // Linear means 2; the rest is room for caches and noise.
        report("planning 10,000 bindings over planning 5,000", whole / median { _ = makePlan(half) }, unit: "×", limit: 2.6)

        let plan = makePlan(one)
        try reportHostileReports(to: makePlan(try mixedInput(bindings: 10)).relay)
        reportHostileAnswers()

        let digest = try median { _ = try plan.relay.digest() }
        report("hashing the relay's part of 10,000 bindings", digest * 1000, unit: "ms", limit: 30)
        let megabytes = Double(try DocumentJSON.encode(plan.relay).count) / 1e6
        report("the relay's document of 10,000 bindings", megabytes, unit: "MB", limit: 3)
    }

    /// A plan with exclusions would be a plan of less.
    private static func check(_ input: PlanInput, bindings: Int) throws {
        let plan = makePlan(input)
        guard plan.exclusions.isEmpty, plan.planned.count == bindings else {
            throw Wrong(
                message:
                    "\(plan.planned.count) of \(bindings) planned; \(plan.exclusions.first.map { "\($0.binding): \($0.message)" } ?? "")"
            )
        }
    }

    private struct Wrong: Error { var message: String }

    /// Seconds; of five runs after one that warms up.
    private static func median(_ body: () throws -> Void) rethrows -> Double {
        try body()
        var times: [Double] = []
        for _ in 0..<5 {
            let taken = try ContinuousClock().measure(body)
            times.append(Double(taken.components.seconds) + Double(taken.components.attoseconds) / 1e18)
        }
        return times.sorted()[2]
    }

    /// - Parameter limit: nil for a figure without a budget.
    static func report(_ what: String, _ measured: Double, unit: String, limit: Double?) {
        let figure = (measured * 1000).rounded() / 1000
        print(#"{"what":"\#(what)","measured":\#(figure),"unit":"\#(unit)","limit":\#(limit.map { "\($0)" } ?? "null")}"#)
    }
}
