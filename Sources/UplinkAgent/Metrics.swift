import NodeDocument

/// The uplink's own metrics in Prometheus' text format 0.0.4.
enum Metrics {
    static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    /// - Parameter now: seconds since 1970.
    static func text(of condition: UplinkCondition, now: Int64) -> String {
        let report = condition.report(now: now)
        var text = ""
        func metric(_ name: String, _ type: String, _ help: String, _ samples: [(labels: String, value: String)]) {
            text += "# HELP tidegate_uplink_\(name) \(help)\n# TYPE tidegate_uplink_\(name) \(type)\n"
            for sample in samples { text += "tidegate_uplink_\(name)\(sample.labels) \(sample.value)\n" }
        }
        func single(_ name: String, _ type: String, _ help: String, _ value: some CustomStringConvertible) {
            metric(name, type, help, [("", "\(value)")])
        }
        single("ready", "gauge", "Whether traffic may be sent here.", report.ready ? 1 : 0)
        if let hash = report.hash {
            metric("document_info", "gauge", "The document in force.", [("{hash=\"\(hash)\"}", "1")])
        }
        if let kind = report.wireGuardKind {
            metric("wireguard_info", "gauge", "Whose WireGuard it is.", [("{kind=\"\(escaped(kind))\"}", "1")])
        }
        if let age = report.handshakeAge {
            single("handshake_age_seconds", "gauge", "Time since the last handshake with the relay.", age)
        }
        single("received_bytes_total", "counter", "Bytes received from the relay.", report.receivedBytes)
        single("sent_bytes_total", "counter", "Bytes sent to the relay.", report.sentBytes)
        if let count = condition.trackedConnections, let limit = condition.trackedConnectionsLimit {
            single("conntrack_entries", "gauge", "Flows that the host's conntrack holds, those of others too.", count)
            single("conntrack_limit", "gauge", "Flows that fit; more are dropped (net.netfilter.nf_conntrack_max).", limit)
        }
        single("bindings", "gauge", "Bindings forwarded.", report.targets.count)
        metric(
            "target_reachable", "gauge", "Whether a binding's target answers; absent where it cannot be told.",
            report.targets.compactMap { target in
                target.reachable.map { ("{binding=\"\(escaped(target.binding))\"}", $0 ? "1" : "0") }
            })
        single("applies_total", "counter", "Documents and keys put in force.", condition.counters.applies)
        single("apply_failures_total", "counter", "Attempts to put them in force that failed.", condition.counters.failures)
        single("repairs_total", "counter", "Changes by others that were put right.", condition.counters.repairs)
        return text
    }

    /// A label's value: backslash, quote and newline escaped.
    private static func escaped(_ text: String) -> String {
        text.reduce(into: "") { result, character in
            switch character {
            case "\\": result += "\\\\"
            case "\"": result += "\\\""
            case "\n": result += "\\n"
            default: result.append(character)
            }
        }
    }
}
