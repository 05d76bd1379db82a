import EdgeAPI

/// What a running Envoy cannot take over from a file: a change here needs a restart.
func bootstrap(edge: EdgeSpec) -> JSON {
    [
        "admin": ["address": adminAddress],
        "dynamic_resources": [
            "cds_config": .fileSource(EnvoyPath.clusters),
            "lds_config": .fileSource(EnvoyPath.listeners),
        ],
        "node": ["cluster": "tidegate", "id": "tidegate-relay"],
        "overload_manager": [
            "refresh_interval": "0.25s",
            "resource_monitors": [
                .extended(
                    "envoy.resource_monitors.global_downstream_max_connections",
                    "extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                    ["max_active_downstream_connections": .integer(edge.maxConnections)])
            ],
        ],
        "static_resources": ["clusters": [adminCluster]],
    ]
}

let adminClusterName = "envoy-admin"

/// A Unix socket that root and Envoy's own user alone may open; 384 is mode 0600.
private let adminAddress: JSON = ["pipe": ["mode": 384, "path": .string(EnvoyPath.adminSocket)]]

/// Where the bridge sends what it lets through.
private let adminCluster: JSON = [
    "connect_timeout": "1s",
    "load_assignment": [
        "cluster_name": .string(adminClusterName),
        "endpoints": [["lb_endpoints": [["endpoint": ["address": ["pipe": ["path": .string(EnvoyPath.adminSocket)]]]]]]],
    ],
    "name": .string(adminClusterName),
    "type": "STATIC",
]
