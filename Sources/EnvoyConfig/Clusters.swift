import EdgeAPI
import NetworkTypes

/// A binding's way into the tunnel: its uplinks, their health, and what is asked of a connection to them. How many connections it may
/// have is added on the host, for it depends on what that one bears.
///
/// The uplinks of a UDP binding stand in a file of their own (EDS), as a change of the cluster would end its sessions; TCP connections
/// outlive such a change, and do without a watched file for each binding.
func renderCluster(_ binding: EnvoyBinding, uplinks: [EnvoyUplink], edge: EdgeSpec) -> JSON {
    var members: [JSON.Member] = []
    func set(_ key: String, _ value: JSON) { members.append(JSON.Member(key: key, value: value)) }
    set("name", .string(binding.name))
    set("common_lb_config", ["healthy_panic_threshold": ["value": 0]])
    set("ignore_health_on_host_removal", true)
    set("health_checks", [healthCheck(edge.healthCheck, for: binding)])
    switch binding.transport {
    case .tcp(let options):
        set("type", "STATIC")
        set("load_assignment", renderEndpoints(binding, uplinks: uplinks))
        set("connect_timeout", .duration(attemptTimeout(options.connectTimeout)))
        set("lb_policy", "LEAST_REQUEST")
        set("per_connection_buffer_limit_bytes", .integer(Limits.connectionBuffer))
        set("outlier_detection", outlierDetection(edge.healthCheck))
        set("upstream_connection_options", ["tcp_keepalive": .tcpKeepalive])
        set("upstream_bind_config", ["socket_options": [.userTimeout]])
        if let version = options.proxyProtocol { set("transport_socket_matches", proxyProtocol(version)) }
    case .udp:
        set("type", "EDS")
        set("eds_cluster_config", ["eds_config": .fileSource(EnvoyPath.endpoints(binding.name))])
        set("connect_timeout", "1s")
        set("lb_policy", "ROUND_ROBIN")
    }
    return .object(members)
}

/// The probe of `/ready` on the uplink's own port, which is not the binding's.
///
/// An uplink that is out is asked each second, so that one which comes back is in use soon. The intervals for clusters without
/// traffic are set because Envoy's default for them is 60 s.
private func healthCheck(_ spec: HealthCheckSpec, for binding: EnvoyBinding) -> JSON {
    let quick = JSON.duration(min(spec.interval, .seconds(1)))
    return [
        "healthy_edge_interval": quick,
        "healthy_threshold": .integer(spec.healthyThreshold),
        "http_health_check": ["path": "/ready"],
        "interval": .duration(spec.interval),
        "interval_jitter_percent": 10,
        "no_traffic_healthy_interval": .duration(spec.interval),
        "no_traffic_interval": quick,
        "timeout": .duration(spec.timeout),
        "transport_socket_match_criteria": binding.hasProxyHeader ? ["probe": true] : .absent,
        "unhealthy_interval": quick,
        "unhealthy_threshold": .integer(spec.unhealthyThreshold),
    ]
}

/// A dead uplink must not take all the time that a binding allows.
private func attemptTimeout(_ whole: GoDuration) -> GoDuration {
    let share = GoDuration(nanoseconds: whole.nanoseconds / Int64(Limits.connectAttempts))
    return max(share, min(whole, Limits.shortestAttempt))
}

/// Takes out an uplink by which two connections in a row failed: long before its probes have told, and for as long as they may
/// take to, up to a minute. The next probe that it answers puts it back.
private func outlierDetection(_ probes: HealthCheckSpec) -> JSON {
    let probing = (probes.interval.nanoseconds + probes.timeout.nanoseconds) * (Int64(probes.unhealthyThreshold) + 1)
    let ejection = JSON.duration(min(GoDuration(nanoseconds: probing), .seconds(60)))
    return [
        "base_ejection_time": ejection,
        "consecutive_local_origin_failure": .integer(Limits.failuresToEject),
        "enforcing_consecutive_5xx": 0,
        "enforcing_consecutive_gateway_failure": 0,
        "enforcing_consecutive_local_origin_failure": 100,
        "enforcing_local_origin_success_rate": 0,
        "enforcing_success_rate": 0,
        "interval": "2s",
        "max_ejection_percent": 50,
        "max_ejection_time": ejection,
        "split_external_local_origin_errors": true,
    ]
}

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
func renderEndpoints(_ binding: EnvoyBinding, uplinks: [EnvoyUplink]) -> JSON {
    let members = uplinks.map { uplink -> JSON in
        [
            "endpoint": [
                "address": .socketAddress(uplink.address, binding.tunnelPort),
                "health_check_config": ["port_value": .number(Port.uplinkReadiness.number)],
            ]
        ]
    }
    return ["cluster_name": .string(binding.name), "endpoints": [["lb_endpoints": .array(members)]]]
}
