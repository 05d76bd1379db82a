/// A message of Envoy's API v3: the fields of it that `EnvoyConfig` renders, by the names that they have in JSON.
final class EnvoyMessage: Sendable {
    enum Kind: Sendable {
        case string
        /// A number or a truth value.
        case scalar
        case double
        /// `google.protobuf.UInt32Value` and the like: a message of one number or truth value, which is written bare in JSON.
        case wrapped
        /// `google.protobuf.Duration`.
        case duration
        /// `google.protobuf.Any`, of a message in `EnvoyMessage.extensions`.
        case any
        case message(EnvoyMessage)
        /// An enumeration's values that are in use.
        case names([String: UInt64])
    }

    struct Field: Sendable {
        let name: String
        let number: UInt64
        let kind: Kind
        let isRepeated: Bool
    }

    let name: String
    private let fields: [Field]

    init(_ name: String, _ fields: [(String, UInt64, Kind)], lists: [(String, UInt64, Kind)] = []) {
        self.name = name
        self.fields =
            fields.map { Field(name: $0.0, number: $0.1, kind: $0.2, isRepeated: false) }
            + lists.map { Field(name: $0.0, number: $0.1, kind: $0.2, isRepeated: true) }
    }

    /// - Returns: nil for a field that is not in the table.
    func field(_ name: String) -> Field? {
        // At most some fifteen: quicker than a dictionary.
        fields.first { $0.name == name }
    }
}

// The numbers are those of the API's .proto files (github.com/envoyproxy/envoy/tree/main/api, cncf/xds for the matcher). A field that is
// rendered and not in here is an error, never left out.
extension EnvoyMessage {
    static let cluster = EnvoyMessage(
        "config.cluster.v3.Cluster",
        [
            ("name", 1, .string), ("type", 2, .names(["STATIC": 0, "EDS": 3])), ("eds_cluster_config", 3, .message(edsConfig)),
            ("connect_timeout", 4, .duration), ("per_connection_buffer_limit_bytes", 5, .wrapped),
            ("lb_policy", 6, .names(["ROUND_ROBIN": 0, "LEAST_REQUEST": 1])),
            ("circuit_breakers", 10, .message(circuitBreakers)), ("outlier_detection", 19, .message(outlierDetection)),
            ("upstream_bind_config", 21, .message(bindConfig)), ("transport_socket", 24, .message(transportSocket)),
            ("common_lb_config", 27, .message(commonLB)), ("upstream_connection_options", 30, .message(upstreamConnection)),
            ("load_assignment", 33, .message(loadAssignment)),
        ])

    static let listener = EnvoyMessage(
        "config.listener.v3.Listener",
        [
            ("name", 1, .string), ("address", 2, .message(address)), ("per_connection_buffer_limit_bytes", 5, .wrapped),
            ("freebind", 11, .wrapped), ("listener_filters_timeout", 15, .duration),
            ("udp_listener_config", 18, .message(udpListener)), ("ignore_global_conn_limit", 31, .scalar),
            ("bypass_overload_manager", 35, .scalar),
        ],
        lists: [
            ("filter_chains", 3, .message(filterChain)), ("listener_filters", 9, .message(listenerFilter)),
            ("socket_options", 13, .message(socketOption)),
        ])

    /// What an `Any` may hold, by its type URL without `type.googleapis.com/envoy.`.
    static let extensions: [String: EnvoyMessage] = {
        let all = [
            EnvoyMessage(
                "extensions.filters.network.tcp_proxy.v3.TcpProxy",
                [
                    ("stat_prefix", 1, .string), ("cluster", 2, .string), ("max_connect_attempts", 7, .wrapped),
                    ("idle_timeout", 8, .duration),
                    (
                        "upstream_connect_mode", 21,
                        .names(["IMMEDIATE": 0, "ON_DOWNSTREAM_DATA": 1, "ON_DOWNSTREAM_TLS_HANDSHAKE": 2])
                    ),
                    ("max_early_data_bytes", 22, .wrapped),
                ]),
            EnvoyMessage(
                "extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
                [
                    ("stat_prefix", 1, .string), ("idle_timeout", 3, .duration),
                    ("upstream_socket_config", 6, .message(udpSocket)), ("matcher", 9, .message(matcher)),
                ]),
            EnvoyMessage("extensions.filters.udp.udp_proxy.v3.Route", [("cluster", 1, .string)]),
            EnvoyMessage(
                "extensions.filters.listener.tls_inspector.v3.TlsInspector", [("initial_read_buffer_size", 2, .wrapped)]),
            EnvoyMessage(
                "extensions.transport_sockets.tls.v3.DownstreamTlsContext",
                [("common_tls_context", 1, .message(commonTLS)), ("require_client_certificate", 2, .wrapped)]),
            EnvoyMessage(
                "extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                [
                    (
                        "config", 1,
                        .message(
                            EnvoyMessage("config.core.v3.ProxyProtocolConfig", [("version", 1, .names(["V1": 0, "V2": 1]))]))
                    ),
                    ("transport_socket", 2, .message(transportSocket)),
                ]),
            EnvoyMessage("extensions.transport_sockets.raw_buffer.v3.RawBuffer", []),
            EnvoyMessage("extensions.filters.http.router.v3.Router", []),
            EnvoyMessage(
                "extensions.filters.network.connection_limit.v3.ConnectionLimit",
                [("stat_prefix", 1, .string), ("max_connections", 2, .wrapped)]),
            connectionManager,
        ]
        return Dictionary(uniqueKeysWithValues: all.map { ($0.name, $0) })
    }()
}

// MARK: what clusters and listeners share

private let socketOption = EnvoyMessage(
    "config.core.v3.SocketOption",
    [
        ("description", 1, .string), ("level", 2, .scalar), ("name", 3, .scalar), ("int_value", 4, .scalar),
        ("state", 6, .names(["STATE_PREBIND": 0, "STATE_BOUND": 1, "STATE_LISTENING": 2])),
    ])

private let transportSocket = EnvoyMessage(
    "config.core.v3.TransportSocket", [("name", 1, .string), ("typed_config", 3, .any)])

private let configSource = EnvoyMessage(
    "config.core.v3.ConfigSource",
    [
        ("ads", 3, .message(EnvoyMessage("config.core.v3.AggregatedConfigSource", []))), ("initial_fetch_timeout", 4, .duration),
        ("resource_api_version", 6, .names(["V3": 2])),
        ("path_config_source", 8, .message(EnvoyMessage("config.core.v3.PathConfigSource", [("path", 1, .string)]))),
    ])

private let udpSocket = EnvoyMessage("config.core.v3.UdpSocketConfig", [("max_rx_datagram_size", 1, .wrapped)])

// MARK: clusters

private let loadAssignment = EnvoyMessage(
    "config.endpoint.v3.ClusterLoadAssignment", [("cluster_name", 1, .string)],
    lists: [
        (
            "endpoints", 2,
            .message(
                EnvoyMessage("config.endpoint.v3.LocalityLbEndpoints", [], lists: [("lb_endpoints", 2, .message(lbEndpoint))]))
        )
    ])

private let lbEndpoint = EnvoyMessage(
    "config.endpoint.v3.LbEndpoint",
    [("endpoint", 1, .message(EnvoyMessage("config.endpoint.v3.Endpoint", [("address", 1, .message(address))])))])

private let edsConfig = EnvoyMessage(
    "config.cluster.v3.Cluster.EdsClusterConfig", [("eds_config", 1, .message(configSource))])

private let circuitBreakers = EnvoyMessage(
    "config.cluster.v3.CircuitBreakers", [],
    lists: [
        (
            "thresholds", 1,
            .message(
                EnvoyMessage(
                    "config.cluster.v3.CircuitBreakers.Thresholds",
                    [
                        ("priority", 1, .names(["DEFAULT": 0, "HIGH": 1])), ("max_connections", 2, .wrapped),
                        ("max_pending_requests", 3, .wrapped), ("max_requests", 4, .wrapped), ("max_retries", 5, .wrapped),
                    ]))
        )
    ])

private let outlierDetection = EnvoyMessage(
    "config.cluster.v3.OutlierDetection",
    [
        ("interval", 2, .duration), ("base_ejection_time", 3, .duration), ("max_ejection_percent", 4, .wrapped),
        ("enforcing_consecutive_5xx", 5, .wrapped), ("enforcing_success_rate", 6, .wrapped),
        ("enforcing_consecutive_gateway_failure", 11, .wrapped), ("split_external_local_origin_errors", 12, .scalar),
        ("consecutive_local_origin_failure", 13, .wrapped), ("enforcing_consecutive_local_origin_failure", 14, .wrapped),
        ("enforcing_local_origin_success_rate", 15, .wrapped), ("max_ejection_time", 21, .duration),
    ])

private let bindConfig = EnvoyMessage("config.core.v3.BindConfig", [], lists: [("socket_options", 3, .message(socketOption))])

private let commonLB = EnvoyMessage(
    "config.cluster.v3.Cluster.CommonLbConfig",
    [("healthy_panic_threshold", 1, .message(EnvoyMessage("type.v3.Percent", [("value", 1, .double)])))])

private let upstreamConnection = EnvoyMessage(
    "config.cluster.v3.UpstreamConnectionOptions",
    [
        (
            "tcp_keepalive", 1,
            .message(
                EnvoyMessage(
                    "config.core.v3.TcpKeepalive",
                    [("keepalive_probes", 1, .wrapped), ("keepalive_time", 2, .wrapped), ("keepalive_interval", 3, .wrapped)]))
        )
    ])

// MARK: listeners

private let address = EnvoyMessage(
    "config.core.v3.Address",
    [
        (
            "socket_address", 1,
            .message(
                EnvoyMessage(
                    "config.core.v3.SocketAddress",
                    [
                        ("protocol", 1, .names(["TCP": 0, "UDP": 1])), ("address", 2, .string), ("port_value", 3, .scalar),
                        ("ipv4_compat", 6, .scalar),
                    ]))
        )
    ])

private let listenerFilter = EnvoyMessage(
    "config.listener.v3.ListenerFilter", [("name", 1, .string), ("typed_config", 3, .any)])

private let addressRange = EnvoyMessage(
    "config.core.v3.CidrRange", [("address_prefix", 1, .string), ("prefix_len", 2, .wrapped)])

private let filterChain = EnvoyMessage(
    "config.listener.v3.FilterChain",
    [
        (
            "filter_chain_match", 1,
            .message(
                EnvoyMessage(
                    "config.listener.v3.FilterChainMatch", [("transport_protocol", 9, .string)],
                    lists: [
                        ("source_prefix_ranges", 6, .message(addressRange)), ("application_protocols", 10, .string),
                        ("server_names", 11, .string),
                    ]))
        ), ("transport_socket", 6, .message(transportSocket)), ("name", 7, .string),
        ("transport_socket_connect_timeout", 9, .duration),
    ],
    lists: [
        ("filters", 3, .message(EnvoyMessage("config.listener.v3.Filter", [("name", 1, .string), ("typed_config", 4, .any)])))
    ])

private let udpListener = EnvoyMessage(
    "config.listener.v3.UdpListenerConfig", [("downstream_socket_config", 5, .message(udpSocket))])

private let matcher = EnvoyMessage(
    "xds.type.matcher.v3.Matcher",
    [
        (
            "on_no_match", 3,
            .message(
                EnvoyMessage(
                    "xds.type.matcher.v3.Matcher.OnMatch",
                    [
                        (
                            "action", 2,
                            .message(
                                EnvoyMessage(
                                    "xds.core.v3.TypedExtensionConfig", [("name", 1, .string), ("typed_config", 2, .any)]))
                        )
                    ]))
        )
    ])

private let secretConfig = EnvoyMessage(
    "extensions.transport_sockets.tls.v3.SdsSecretConfig", [("name", 1, .string), ("sds_config", 2, .message(configSource))])

private let commonTLS = EnvoyMessage(
    "extensions.transport_sockets.tls.v3.CommonTlsContext",
    [
        (
            "tls_params", 1,
            .message(
                EnvoyMessage(
                    "extensions.transport_sockets.tls.v3.TlsParameters",
                    [("tls_minimum_protocol_version", 1, .names(["TLSv1_2": 3, "TLSv1_3": 4]))]))
        ), ("validation_context_sds_secret_config", 7, .message(secretConfig)),
    ], lists: [("alpn_protocols", 4, .string), ("tls_certificate_sds_secret_configs", 6, .message(secretConfig))])
