import Foundation
import PrometheusMetrics
import TestPrograms
import Testing

/// Gives `text` to `promtool check metrics`, Prometheus' own parser and linter.
/// - Returns: what it has against it.
private func promtool(_ text: String) throws -> String {
    let check = try ProgramRun("/usr/bin/promtool", ["check", "metrics"], input: Array(text.utf8), mergesErrors: true)
    return check.status == 0 ? check.output : "status \(check.status): \(check.output)"
}

@Suite struct PromtoolTests {
    @Test func prometheusTakesAllThatTheControllerTells() throws {
        let registry = MetricRegistry()
        try ProcessMetrics.register(in: registry)
        let controllers = try ControllerMetrics(in: registry)
        for name in ["edgenode", "portbinding"] {
            let queue = controllers.queue(of: name, workers: 5) { 1 }
            queue.added()
            queue.ended(queue.began(waited: .milliseconds(3)), .requeueAfter)
        }
        controllers.requestEnded(code: 200, method: "GET", host: "[fd00::1]:443")
        controllers.leads(true, lease: "tidegate")
        let nodes = try EdgeNodeMetrics(in: registry)
        for name in ["a", "b\"\\\n}"] {
            nodes.reconciled(
                namespace: "default", name: name, succeeded: true,
                observation: EdgeNodeObservation(
                    handshakeAges: [0: 1, 1: 2], bindings: ["Applied": 2],
                    certificates: [.init(portBindingNamespace: "n", portBinding: "p", binding: "b", notAfter: 1.8e9)],
                    wireGuardKind: "kernel"),
                sshTime: .milliseconds(120), sshExecs: 1)
        }
        let text = registry.render()
        #expect(text.split(separator: "\n").filter { $0.hasPrefix("# TYPE") }.count == 30)
        #expect(try promtool(text) == "")
    }

    /// That the check finds something.
    @Test func promtoolRefusesWhatIsBroken() throws {
        #expect(try promtool("a{b=\"c\n\"} 1\n") != "")
        #expect(try promtool("# HELP a_count Misnamed.\n# TYPE a_count gauge\na_count 1\n") != "")
    }
}
