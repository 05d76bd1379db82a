import NetworkTypes
import NodeDocument
import PrometheusMetrics

/// The uplink's own metrics in Prometheus' text format.
enum Metrics {
    static func text(of condition: UplinkCondition, _ now: Moment) -> String {
        let report = condition.report(now)
        var exposition = Exposition()
        func gauge(_ name: String, _ help: String, _ sample: Sample?) {
            exposition.write(MetricFamily(.gauge, "tidegate_uplink_\(name)", help: help), sample.map { [$0] } ?? [])
        }
        func gauge(_ name: String, by label: String, _ help: String, _ samples: [Sample]) {
            exposition.write(MetricFamily(.gauge, "tidegate_uplink_\(name)", labels: [label], help: help), samples)
        }
        func counter(_ name: String, _ help: String, _ count: UInt64) {
            exposition.write(MetricFamily(.counter, "tidegate_uplink_\(name)", help: help), [Sample(count)])
        }
        gauge("ready", "Whether traffic may be sent here.", Sample(report.ready))
        if let hash = report.hash {
            gauge("document_info", by: "hash", "The document in force.", [Sample(1, labels: ["\(hash)"])])
        }
        if let kind = report.wireGuardKind {
            gauge("wireguard_info", by: "kind", "Whose WireGuard it is.", [Sample(1, labels: [kind])])
        }
        gauge("handshake_age_seconds", "Time since the last handshake with the relay.", report.handshakeAge.map { Sample($0) })
        counter("received_bytes_total", "Bytes received from the relay.", report.receivedBytes)
        counter("sent_bytes_total", "Bytes sent to the relay.", report.sentBytes)
        let ways = condition.ways.filter(\.isLink)
        if !ways.isEmpty || condition.links.established > 0 {
            let links = condition.links
            gauge(
                "links", by: "carrier", "Links that are up.", ways.map { Sample(links.up[$0, default: 0], labels: [$0.rawValue]) }
            )
            gauge("link_streams", "Connections and UDP sessions within links.", Sample(links.streams))
            counter(
                "links_established_total", "Links that came up: what is more than are kept up were dialed anew.",
                links.established)
            counter("link_received_bytes_total", "Bytes received by links.", links.receivedBytes)
            counter("link_sent_bytes_total", "Bytes sent by links.", links.sentBytes)
        }
        if let count = condition.trackedConnections, let limit = condition.trackedConnectionsLimit {
            gauge("conntrack_entries", "Flows that the host's conntrack holds, those of others too.", Sample(count))
            gauge("conntrack_limit", "Flows that fit; more are dropped (net.netfilter.nf_conntrack_max).", Sample(limit))
        }
        gauge("conntrack_crowded", "Whether conntrack is too small for what comes.", Sample(condition.crowding != nil))
        gauge(
            "path_mtu_bytes", "What the path carries where that is less than the tunnel's MTU; absent otherwise.",
            condition.pathMTU.map { Sample($0) })
        gauge("bindings", "Bindings forwarded.", Sample(report.targets.count))
        gauge(
            "target_reachable", by: "binding", "Whether a binding's target answers; absent where it cannot be told.",
            report.targets.compactMap { target in target.reachable.map { Sample($0, labels: [target.binding]) } })
        counter("applies_total", "Documents and keys put in force.", condition.counters.applies)
        counter("apply_failures_total", "Attempts to put them in force that failed.", condition.counters.failures)
        counter("repairs_total", "Changes by others that were put right.", condition.counters.repairs)
        return exposition.text
    }
}
