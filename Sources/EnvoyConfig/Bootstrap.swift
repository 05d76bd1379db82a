import NodeDocument

/// What a running Envoy cannot take over from a file: a change here needs a restart. The overload manager is added on the host, for it
/// depends on the host's memory.
func renderBootstrap() -> JSON {
    [
        "admin": ["address": adminAddress, "ignore_global_conn_limit": true],
        "dynamic_resources": [
            "cds_config": .fileSource(EnvoyPath.clusters),
            "lds_config": .fileSource(EnvoyPath.listeners),
        ],
        "node": ["cluster": "tidegate", "id": "tidegate-relay"],
        "static_resources": ["clusters": [adminCluster]],
    ]
}

/// No DNS label: a binding of this name would send the public to the admin interface.
let adminClusterName = "envoy_admin"

/// A Unix socket that root and Envoy's own user alone may open; 384 is mode 0600.
private let adminAddress: JSON = ["pipe": ["mode": 384, "path": .string(EnvoyDocument.adminSocket)]]

/// Where the bridge sends what it lets through.
private let adminCluster: JSON = [
    "connect_timeout": "1s",
    "load_assignment": [
        "cluster_name": .string(adminClusterName),
        "endpoints": [["lb_endpoints": [["endpoint": ["address": ["pipe": ["path": .string(EnvoyDocument.adminSocket)]]]]]]],
    ],
    "name": .string(adminClusterName),
    "type": "STATIC",
]
