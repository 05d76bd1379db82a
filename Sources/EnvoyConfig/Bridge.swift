import NetworkTypes
import NodeDocument

/// What may be read of Envoy's admin interface; each with GET alone. Nothing here changes Envoy, and none shows a private key.
private let readablePaths = [
    "/certs", "/clusters", "/config_dump", "/listeners", "/memory", "/ready", "/server_info", "/stats", "/stats/prometheus",
]

/// The listener on the relay's tunnel address through which uplinks read Envoy's admin interface.
func bridge(relayAddress: IPv4Address) -> EnvoyListener {
    let get: JSON = ["name": ":method", "string_match": ["exact": "GET"]]
    let allowed = readablePaths.map { path -> JSON in
        [
            "match": ["headers": [get], "path": .string(path)],
            "route": ["cluster": .string(adminClusterName), "timeout": "30s"],
        ]
    }
    let refusal: JSON = [
        "direct_response": [
            "body": ["inline_string": .string("Read only: GET of \(readablePaths.joined(separator: ", ")).\n")], "status": 403,
        ],
        "match": ["prefix": "/"],
    ]
    let json: JSON = [
        "filter_chains": [
            [
                "filters": [
                    .extended(
                        "envoy.filters.network.http_connection_manager",
                        "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                        [
                            "codec_type": "HTTP1",
                            "http_filters": [
                                .extended("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
                            ],
                            "path_with_escaped_slashes_action": "REJECT_REQUEST",
                            "request_timeout": "30s",
                            "route_config": [
                                "name": "bridge",
                                "validate_clusters": false,
                                "virtual_hosts": [
                                    ["domains": ["*"], "name": "bridge", "routes": .array(allowed + [refusal])]
                                ],
                            ],
                            "stat_prefix": "bridge",
                        ])
                ],
                "name": "bridge",
            ]
        ],
        "bypass_overload_manager": true,
        "freebind": true,
        "ignore_global_conn_limit": true,
        "name": "bridge",
    ]
    return EnvoyListener(
        name: "bridge", protocol: .tcp, port: .envoyBridge, address: relayAddress, bindings: [], json: json.text)
}
