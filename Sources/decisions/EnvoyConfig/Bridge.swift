import JSON
import NetworkTypes
import NodeDocument

/// What may be read of Envoy's admin interface; each with GET alone. Nothing here changes Envoy, and none shows a private key.
private let allPaths = [
    "/certs", "/clusters", "/config_dump", "/listeners", "/memory", "/ready", "/server_info", "/stats", "/stats/prometheus",
]

/// Of these, what Prometheus and probes need: figures, and no word of the configuration.
private let metricPaths = ["/ready", "/stats/prometheus"]

/// The listener on the relay's tunnel address through which uplinks read Envoy's admin interface, without its address.
///
/// It must answer when the edge is full, so it is under neither the overload manager nor the limit of all connections: it has limits of
/// its own (`EnvoyConfiguration.bridgeConnections`), and nobody may hold one of its connections for nothing. Each uplink has a filter
/// chain, for the limit of each source: whoever holds all of one's connections takes none of another's. What comes from elsewhere finds
/// no chain, and is closed.
/// - Parameter sources: the uplinks' tunnel addresses, and the relay's own, by the name of their chain.
func bridgeListener(_ access: BridgeAccess, sources: [(name: String, address: IPv4Address)]) -> FieldValue {
    let manager = connectionManager(access)
    let limit = FieldValue.extended(
        "envoy.filters.network.connection_limit", "extensions.filters.network.connection_limit.v3.ConnectionLimit",
        ["max_connections": .integer(Limits.bridgeConnectionsOfOne), "stat_prefix": "bridge"])
    let chains = sources.map { source -> FieldValue in
        [
            "filter_chain_match": [
                "source_prefix_ranges": [["address_prefix": .string(source.address.description), "prefix_len": 32]]
            ],
            "filters": [limit, manager],
            "name": .string("bridge-\(source.name)"),
        ]
    }
    return [
        "bypass_overload_manager": true,
        "filter_chains": .array(chains),
        "freebind": true,
        "ignore_global_conn_limit": true,
        "name": .string(EnvoyListener.bridgeName),
        "per_connection_buffer_limit_bytes": .integer(Limits.connectionBuffer),
    ]
}

/// Lets through what may be read, and nothing else.
private func connectionManager(_ access: BridgeAccess) -> FieldValue {
    let readablePaths: [String]
    switch access {
    case .off: readablePaths = []
    case .metrics: readablePaths = metricPaths
    case .readOnly: readablePaths = allPaths
    }
    let get: FieldValue = ["name": ":method", "string_match": ["exact": "GET"]]
    let allowed = readablePaths.map { path -> FieldValue in
        [
            "match": ["headers": [get], "path": .string(path)],
            "route": ["cluster": .string(adminClusterName), "timeout": "30s"],
        ]
    }
    let refusal: FieldValue = [
        "direct_response": [
            "body": ["inline_string": .string("Read only: GET of \(readablePaths.joined(separator: ", ")).\n")], "status": 403,
        ],
        "match": ["prefix": "/"],
    ]
    return .extended(
        "envoy.filters.network.http_connection_manager",
        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        [
            "codec_type": "HTTP1",
            "common_http_protocol_options": [
                "idle_timeout": .seconds(Limits.bridgeIdle),
                "max_connection_duration": .seconds(Limits.bridgeConnection),
                "max_headers_count": 50,
            ],
            "drain_timeout": "1s",
            "http_filters": [.extended("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")],
            "max_request_headers_kb": 8,
            "path_with_escaped_slashes_action": "REJECT_REQUEST",
            "request_headers_timeout": .seconds(Limits.bridgeIdle),
            "request_timeout": .seconds(Limits.bridgeIdle),
            "route_config": [
                "name": "bridge",
                "validate_clusters": false,
                "virtual_hosts": [["domains": ["*"], "name": "bridge", "routes": .array(allowed + [refusal])]],
            ],
            "stat_prefix": "bridge",
            "stream_idle_timeout": .seconds(Limits.bridgeIdle),
        ])
}
