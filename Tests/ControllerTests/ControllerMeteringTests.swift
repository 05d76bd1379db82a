import EdgeAPI
import Fixtures
import NodeDocument
import Planning
import PrometheusMetrics
import Reconcilers
import Testing

@testable import Controller

@Suite struct ControllerMeteringTests {
    private func page(kind: String) throws -> String {
        let registry = MetricRegistry()
        let metering = try ControllerMetering(in: registry)
        let node = try edgeNode()
        let plan = makePlan(try planInput(node, [portBinding("b", [try tcp("web", 80)])]))
        let hash = try plan.relay.digest()
        var report = AgentReport(outcome: .applied, agentBuild: "b1", hash: hash)
        report.wireGuardKind = kind
        let outcome = NodeOutcome(node: node, plan: plan, relayHash: hash, uplinkHash: nil, report: report, failure: nil)
        metering.reconciled(
            node.metadata.objectName, outcome, succeeded: true, statistics: nil, reasons: { _ in [:] }, secret: { _ in nil })
        return registry.render()
    }

    /// Each word of a VPS would be a series that Prometheus keeps.
    @Test func aVPSMakesNoSeriesOfItsOwn() throws {
        #expect(try page(kind: "userspace").contains(#"kind="userspace""#))
        let page = try page(kind: "word 1795960985520")
        #expect(!page.contains("1795960985520"))
        #expect(page.contains(#"edge_node="edge""#))
    }
}
