import JSON
import NetworkTypes
import NodeDocument

/// A public listener without its address. `bindings` are its own, sorted by name; without any, and without links, Envoy refuses it.
/// - Parameter links: what comes in here besides; nil for nothing.
/// - Parameter dualStack: whether it listens by a socket of both families, which has options of its own for UDP.
func publicListener(
    _ listener: EnvoyListener, _ bindings: [RelayBinding], links: RelayLink?, dualStack: Bool, waitsForHandshakes: Bool
) -> FieldValue {
    switch bindings.first?.transport {
    case .udp(let options): udpListener(name: listener.name, bindings[0], options, dualStack: dualStack)
    case .tcp, nil: tcpListener(name: listener.name, bindings, links, waitsForHandshakes: waitsForHandshakes)
    }
}

private func tcpListener(name: String, _ bindings: [RelayBinding], _ links: RelayLink?, waitsForHandshakes: Bool) -> FieldValue {
    let needsName = links != nil || bindings.contains { !($0.tls?.hostnames ?? []).isEmpty || $0.tls?.mode == .passthrough }
    let inspector = FieldValue.extended(
        "envoy.filters.listener.tls_inspector", "extensions.filters.listener.tls_inspector.v3.TlsInspector",
        ["initial_read_buffer_size": .integer(Limits.clientHelloBuffer)])
    return .fields([
        "filter_chains": .array(
            bindings.compactMap { filterChain($0, waitsForHandshakes: waitsForHandshakes) } + (links.map(linkFilterChains) ?? [])),
        "listener_filters": needsName ? [inspector] : nil,
        "listener_filters_timeout": needsName ? .seconds(Limits.clientHelloTimeout) : nil,
        "name": .string(name),
        "per_connection_buffer_limit_bytes": .integer(links == nil ? Limits.connectionBuffer : Limits.linkBuffer),
        "socket_options": .downstreamSocketOptions,
    ])
}

private func filterChain(_ binding: RelayBinding, waitsForHandshakes: Bool) -> FieldValue? {
    guard case .tcp(let options) = binding.transport else { return nil }
    var match: FieldValue?
    var transportSocket: FieldValue?
    if let tls = options.tls {
        if !tls.hostnames.isEmpty {
            match = ["server_names": .array(tls.hostnames.sorted().map { .string($0) })]
        } else if tls.mode == .passthrough {
            match = ["transport_protocol": "tls"]
        }
        transportSocket = downstreamTLS(binding.name, tls.mode)
    }
    // A backend hears of a client only once that one has proven itself: strangers hold none of its connections.
    let waits = waitsForHandshakes && transportSocket != nil
    return .fields([
        "filter_chain_match": match,
        "filters": [
            .extended(
                "envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy",
                .fields([
                    "cluster": .string(binding.name),
                    "idle_timeout": .duration(options.idleTimeout),
                    "max_connect_attempts": .integer(Limits.connectAttempts),
                    "max_early_data_bytes": waits ? .integer(Limits.connectionBuffer) : nil,
                    "stat_prefix": .string(binding.name),
                    "upstream_connect_mode": waits ? "ON_DOWNSTREAM_TLS_HANDSHAKE" : nil,
                ]))
        ],
        "name": .string(binding.name),
        "transport_socket": transportSocket,
        "transport_socket_connect_timeout": transportSocket == nil ? nil : .seconds(Limits.handshakeTimeout),
    ])
}

private func udpListener(name: String, _ binding: RelayBinding, _ options: RelayUDP, dualStack: Bool) -> FieldValue {
    let size: FieldValue = ["max_rx_datagram_size": .integer(options.maxDatagramBytes)]
    return [
        "listener_filters": [
            .extended(
                "envoy.filters.udp_listener.udp_proxy", "extensions.filters.udp.udp_proxy.v3.UdpProxyConfig",
                [
                    "idle_timeout": .duration(options.sessionTimeout),
                    "matcher": [
                        "on_no_match": [
                            "action": .extended(
                                "route", "extensions.filters.udp.udp_proxy.v3.Route", ["cluster": .string(binding.name)])
                        ]
                    ],
                    "stat_prefix": .string(binding.name),
                    "upstream_socket_config": size,
                ])
        ],
        "name": .string(name),
        "socket_options": .udpSocketOptions(dualStack: dualStack),
        "udp_listener_config": ["downstream_socket_config": size],
    ]
}

extension EnvoyRelease {
    /// Whether this Envoy can open the connection to an uplink after the client's handshake: since 1.37. It refuses fields that it does
    /// not know.
    var waitsForHandshakes: Bool {
        let parts = version.split(separator: ".").prefix(2).compactMap { Int($0) }
        return parts.count == 2 && (parts[0], parts[1]) >= (1, 37)
    }
}
