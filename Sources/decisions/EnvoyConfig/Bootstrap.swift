import JSON

/// What a running Envoy cannot take over from a file: a change here needs a restart.
/// - Parameter host: nil leaves out what depends on the host.
func renderBootstrap(on host: EnvoyHost?) -> FieldValue {
    .fields([
        "admin": ["address": adminAddress, "ignore_global_conn_limit": true],
        "dynamic_resources": [
            "ads_config": discoverySource("GRPC", EnvoyPath.discoveryCluster),
            "cds_config": resourceSource,
            "lds_config": resourceSource,
        ],
        "layered_runtime": host == nil ? nil : limitsSource,
        "node": ["cluster": "tidegate", "id": "tidegate-relay"],
        "overload_manager": host.map(overloadManager),
        // Envoy walks over every counter and histogram each time: each 5 s, its default, costs half of what 5,000 bindings cost at rest.
        "stats_flush_interval": "60s",
        "static_resources": [
            "clusters": [
                adminCluster,
                discoveryCluster(EnvoyPath.discoveryCluster, EnvoyPath.discoverySocket),
                discoveryCluster(EnvoyPath.resourceCluster, EnvoyPath.resourceSocket),
            ]
        ],
    ])
}

/// No DNS label: a binding of this name would send the public to the admin interface.
let adminClusterName = "envoy_admin"

/// A Unix socket that root and Envoy's own user alone may open; 384 is mode 0600.
private let adminAddress: FieldValue = ["pipe": ["mode": 384, "path": .string(EnvoyPath.adminSocket)]]

/// Where the bridge sends what it lets through.
private let adminCluster: FieldValue = [
    "connect_timeout": "1s",
    "load_assignment": [
        "cluster_name": .string(adminClusterName),
        "endpoints": [["lb_endpoints": [["endpoint": ["address": ["pipe": ["path": .string(EnvoyPath.adminSocket)]]]]]]],
    ],
    "name": .string(adminClusterName),
    "type": "STATIC",
]

/// The prober on the same host hands over the uplinks' health (EDS), the clusters and the listeners. Without it Envoy serves on with what it
/// knows, so it is asked again soon and for ever.
private func discoverySource(_ api: String, _ cluster: String) -> FieldValue {
    [
        "api_type": .string(api),
        "grpc_services": [
            [
                "envoy_grpc": [
                    "cluster_name": .string(cluster),
                    "retry_policy": ["retry_back_off": ["base_interval": "0.05s", "max_interval": "0.25s"]],
                ]
            ]
        ],
        "set_node_on_first_message_only": true,
        "transport_api_version": "V3",
    ]
}

/// Clusters and listeners, of which Envoy is told what changed alone. An Envoy that has none yet waits for them for ever: it must not take
/// over from one that serves.
private let resourceSource: FieldValue = [
    "api_config_source": discoverySource("DELTA_GRPC", EnvoyPath.resourceCluster), "initial_fetch_timeout": "0s",
    "resource_api_version": "V3",
]

/// The windows let a word on all of 10,000 bindings through at once. One stream a connection is all that the prober takes.
private func discoveryCluster(_ name: String, _ socket: String) -> FieldValue {
    [
        "connect_timeout": "1s",
        "load_assignment": [
            "cluster_name": .string(name),
            "endpoints": [["lb_endpoints": [["endpoint": ["address": ["pipe": ["path": .string(socket)]]]]]]],
        ],
        "name": .string(name),
        "type": "STATIC",
        "typed_extension_protocol_options": [
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": .typed(
                "extensions.upstreams.http.v3.HttpProtocolOptions",
                [
                    "explicit_http_config": [
                        "http2_protocol_options": [
                            "initial_connection_window_size": 4_194_304, "initial_stream_window_size": 4_194_304,
                            "max_concurrent_streams": 1,
                        ]
                    ]
                ])
        ],
    ]
}

/// New connections are refused when the heap nears its limit. The whole host's share is Envoy's, for its memory is the host's.
func overloadManager(on host: EnvoyHost) -> FieldValue {
    func trigger(_ action: String, at threshold: FieldValue) -> FieldValue {
        [
            "name": "envoy.overload_actions.\(action)",
            "triggers": [["name": "envoy.resource_monitors.fixed_heap", "threshold": ["value": threshold]]],
        ]
    }
    return [
        "actions": [
            trigger("shrink_heap", at: .number(0.85)), trigger("reject_incoming_connections", at: .number(0.95)),
        ],
        "refresh_interval": "0.25s",
        "resource_monitors": [
            .extended(
                "envoy.resource_monitors.fixed_heap", "extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                ["max_heap_size_bytes": .integer(host.heapLimit)])
        ],
    ]
}
