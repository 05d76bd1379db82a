import EdgeAPI
import NetworkTypes

/// A binding's way into the tunnel: its uplinks, their health, and what is asked of a connection to them.
func cluster(_ binding: EnvoyBinding, edge: EdgeSpec) -> JSON {
    var members: [JSON.Member] = []
    func set(_ key: String, _ value: JSON) { members.append(JSON.Member(key: key, value: value)) }
    set("name", .string(binding.name))
    set("type", "EDS")
    set("eds_cluster_config", ["eds_config": .fileSource(EnvoyPath.endpoints(binding.name))])
    set("common_lb_config", ["healthy_panic_threshold": ["value": 0]])
    set("ignore_health_on_host_removal", true)
    set("health_checks", [healthCheck(edge.healthCheck)])
    set("circuit_breakers", circuitBreakers(maxConnections: edge.maxConnections))
    switch binding.transport {
    case .tcp(let options):
        set("connect_timeout", .duration(options.connectTimeout))
        set("lb_policy", "LEAST_REQUEST")
        set("per_connection_buffer_limit_bytes", .integer(Limits.connectionBuffer))
        set("outlier_detection", outlierDetection)
        set("upstream_connection_options", ["tcp_keepalive": .tcpKeepalive])
        set("upstream_bind_config", ["socket_options": [.userTimeout]])
        if let version = options.proxyProtocol { set("transport_socket_matches", proxyProtocol(version)) }
    case .udp:
        set("connect_timeout", "1s")
        set("lb_policy", "ROUND_ROBIN")
    }
    return .typed("config.cluster.v3.Cluster", .object(members))
}

/// The probe of `/ready` on the uplink's own port, which is not the binding's.
private func healthCheck(_ spec: HealthCheckSpec) -> JSON {
    [
        "healthy_threshold": .integer(spec.healthyThreshold),
        "http_health_check": ["path": "/ready"],
        "interval": .duration(spec.interval),
        "no_traffic_interval": .duration(spec.interval),
        "timeout": .duration(spec.timeout),
        "transport_socket_match_criteria": ["probe": true],
        "unhealthy_threshold": .integer(spec.unhealthyThreshold),
    ]
}

/// Envoy's default of 1,024 of each would cap every binding, UDP sessions too; the cap that counts is the global one.
private func circuitBreakers(maxConnections: Int) -> JSON {
    let all = JSON.integer(maxConnections)
    return [
        "thresholds": [
            [
                "max_connections": all, "max_pending_requests": all, "max_requests": all, "max_retries": all,
                "priority": "DEFAULT",
            ]
        ]
    ]
}

/// Takes out, for a while, an uplink that answers its probe but no connection.
private let outlierDetection: JSON = [
    "base_ejection_time": "5s",
    "consecutive_local_origin_failure": 3,
    "enforcing_consecutive_5xx": 0,
    "enforcing_consecutive_gateway_failure": 0,
    "enforcing_consecutive_local_origin_failure": 100,
    "enforcing_local_origin_success_rate": 0,
    "enforcing_success_rate": 0,
    "interval": "2s",
    "max_ejection_percent": 50,
    "max_ejection_time": "30s",
    "split_external_local_origin_errors": true,
]

/// The header on the data path, and a bare socket for the health check, which asks for it by `probe`.
private func proxyProtocol(_ version: ProxyProtocolVersion) -> JSON {
    let raw = JSON.extended(
        "envoy.transport_sockets.raw_buffer", "extensions.transport_sockets.raw_buffer.v3.RawBuffer")
    return [
        ["match": ["probe": true], "name": "probe", "transport_socket": raw],
        [
            "match": [:], "name": "data",
            "transport_socket": .extended(
                "envoy.transport_sockets.upstream_proxy_protocol",
                "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                ["config": ["version": .string(version.rawValue)], "transport_socket": raw]),
        ],
    ]
}

/// The uplinks of a cluster, each at the binding's tunnel port, probed at its own.
func endpoints(_ binding: EnvoyBinding, uplinks: [EnvoyUplink]) -> JSON {
    let members = uplinks.map { uplink -> JSON in
        [
            "endpoint": [
                "address": .socketAddress(uplink.address, binding.tunnelPort),
                "health_check_config": ["port_value": .number(Port.uplinkReadiness.number)],
            ]
        ]
    }
    return .typed(
        "config.endpoint.v3.ClusterLoadAssignment",
        ["cluster_name": .string(binding.name), "endpoints": [["lb_endpoints": .array(members)]]])
}
