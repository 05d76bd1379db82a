import Synchronization
import Testing

@testable import PrometheusMetrics

private final class Clock: Sendable {
    let time = Mutex<Double>(1000)
}

@Suite struct EdgeNodeMetricsTests {
    private let registry = MetricRegistry()
    private let clock = Clock()

    private func makeMetrics() throws -> EdgeNodeMetrics {
        try EdgeNodeMetrics(in: registry, now: { [clock] in clock.time.withLock { $0 } })
    }

    private let observation = EdgeNodeObservation(
        handshakeAges: [0: 7, 2: 30], bindings: ["Applied": 3, "PortConflict": 1],
        certificates: [.init(portBindingNamespace: "web", portBinding: "public", binding: "https", notAfter: 1_800_000_000)],
        wireGuardKind: "kernel")

    @Test func whatAReconcileFoundIsTold() throws {
        let metrics = try makeMetrics()
        metrics.reconciled(
            namespace: "default", name: "edge", succeeded: true, observation: observation, sshTime: .milliseconds(250),
            sshExecs: 2)
        let text = registry.render()
        let node = #"edge_node_namespace="default",edge_node="edge""#
        for line in [
            "reachable{\(node)} 1",
            "last_reconcile_timestamp_seconds{\(node)} 1000",
            "last_success_timestamp_seconds{\(node)} 1000",
            "ssh_seconds_total{\(node)} 0.25",
            "ssh_execs_total{\(node)} 2",
            "uplink_handshake_age_seconds{\(node),uplink=\"0\"} 7",
            "uplink_handshake_age_seconds{\(node),uplink=\"2\"} 30",
            "bindings{\(node),state=\"Applied\"} 3",
            "bindings{\(node),state=\"PortConflict\"} 1",
            "certificate_not_after_timestamp_seconds{\(node),port_binding_namespace=\"web\",port_binding=\"public\","
                + "binding=\"https\"} 1800000000",
            "wireguard_info{\(node),kind=\"kernel\"} 1",
        ] {
            #expect(text.contains("\ntidegate_edge_node_\(line)\n"), "\(line)")
        }
    }

    @Test func whatWasKnownStaysWhileTheNodeIsOutOfReach() throws {
        let metrics = try makeMetrics()
        metrics.reconciled(
            namespace: "default", name: "edge", succeeded: true, observation: observation, sshTime: .seconds(1), sshExecs: 1)
        clock.time.withLock { $0 = 1200 }
        metrics.reconciled(
            namespace: "default", name: "edge", succeeded: false, observation: nil, sshTime: .seconds(30), sshExecs: 0)
        let text = registry.render()
        let node = #"edge_node_namespace="default",edge_node="edge""#
        #expect(text.contains("_reachable{\(node)} 0\n"))
        #expect(text.contains("_last_reconcile_timestamp_seconds{\(node)} 1200\n"))
        #expect(text.contains("_last_success_timestamp_seconds{\(node)} 1000\n"))
        #expect(text.contains("_ssh_seconds_total{\(node)} 31\n"))
        #expect(text.contains("_uplink_handshake_age_seconds{\(node),uplink=\"0\"} 207\n"))
    }

    @Test func whatIsNoMoreIsToldNoMore() throws {
        let metrics = try makeMetrics()
        metrics.reconciled(
            namespace: "default", name: "edge", succeeded: true, observation: observation, sshTime: .zero, sshExecs: 1)
        metrics.reconciled(
            namespace: "default", name: "edge", succeeded: true, observation: EdgeNodeObservation(handshakeAges: [0: 1]),
            sshTime: .zero, sshExecs: 1)
        metrics.reconciled(
            namespace: "default", name: "other", succeeded: true, observation: EdgeNodeObservation(), sshTime: .zero, sshExecs: 1)
        #expect(!registry.render().contains("uplink=\"2\""))
        #expect(!registry.render().contains("certificate"))
        metrics.remove(namespace: "default", name: "edge")
        #expect(!registry.render().contains("edge_node=\"edge\""))
        #expect(registry.render().contains("edge_node=\"other\""))
        metrics.removeAll()
        #expect(registry.render().isEmpty)
    }
}
