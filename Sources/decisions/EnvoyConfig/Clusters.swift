import JSON
import NetworkTypes
import NodeDocument

/// A binding's way into the tunnel: its uplinks, their health, and what is asked of a connection to them.
///
/// Its uplinks and their health come from the prober (EDS over ADS): one stream for all bindings, which tells only what changed, and no
/// change of the cluster, which would end UDP sessions.
/// - Parameter connections: that it may have at most; nil leaves Envoy's default, 1,024.
func renderCluster(_ binding: RelayBinding, connections: Int?) -> FieldValue {
    var cluster: FieldMembers = [
        "common_lb_config": ["healthy_panic_threshold": ["value": 0]],
        // Without an answer a new Envoy stays out of the way of the one that serves, and a changed cluster serves as it was.
        "eds_cluster_config": ["eds_config": ["ads": [:], "initial_fetch_timeout": "0s", "resource_api_version": "V3"]],
        "name": .string(binding.name),
        "type": "EDS",
    ]
    cluster["circuit_breakers"] = connections.map(circuitBreakers)
    switch binding.transport {
    case .tcp(let options):
        cluster["connect_timeout"] = .duration(attemptTimeout(options.connectTimeout))
        cluster["lb_policy"] = "LEAST_REQUEST"
        cluster["per_connection_buffer_limit_bytes"] = .integer(Limits.connectionBuffer)
        cluster["outlier_detection"] = outlierDetection
        cluster["upstream_connection_options"] = ["tcp_keepalive": .tcpKeepalive]
        cluster["upstream_bind_config"] = ["socket_options": .upstreamSocketOptions]
        cluster["transport_socket"] = options.proxyProtocol.map(proxyProtocol)
    case .udp:
        cluster["connect_timeout"] = "1s"
        cluster["lb_policy"] = "ROUND_ROBIN"
    }
    return .object(cluster)
}

/// Envoy's default of 1,024 of each would cap every binding in silence, UDP sessions too.
private func circuitBreakers(_ most: Int) -> FieldValue {
    [
        "thresholds": [
            [
                "max_connections": .integer(most), "max_pending_requests": .integer(most), "max_requests": .integer(most),
                "max_retries": .integer(most), "priority": "DEFAULT",
            ]
        ]
    ]
}

/// A dead uplink must not take all the time that a binding allows.
private func attemptTimeout(_ whole: GoDuration) -> GoDuration {
    let share = GoDuration(nanoseconds: whole.nanoseconds / Int64(Limits.connectAttempts))
    return max(share, min(whole, Limits.shortestAttempt))
}

/// Takes out an uplink by which two connections in a row failed, until the prober has told, which takes it 4.5 s. It comes back at the
/// first look after the base time, so after four to eight seconds: no verdict of the prober ends an ejection, and it must not keep an
/// uplink out for long that is back. With two seconds it came back half a second too early. Each look costs each cluster a timer, so
/// they are as seldom as the base time lets them be. Where there is but one way to one uplink, the runtime switches it off (`EnvoyConfiguration.limits`):
/// it could only refuse what the uplink may take again.
private let outlierDetection: FieldValue = [
    "base_ejection_time": "4s",
    "consecutive_local_origin_failure": .integer(Limits.failuresToEject),
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_success_rate": 0,
    "interval": "4s",
    "max_ejection_percent": 50,
    "max_ejection_time": "4s",
    "split_external_local_origin_errors": true,
]

func proxyProtocol(_ version: ProxyProtocolVersion) -> FieldValue {
    .extended(
        "envoy.transport_sockets.upstream_proxy_protocol",
        "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
        [
            "config": ["version": .string(version.rawValue)],
            "transport_socket": .extended(
                "envoy.transport_sockets.raw_buffer", "extensions.transport_sockets.raw_buffer.v3.RawBuffer"),
        ])
}
