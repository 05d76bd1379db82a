import JSON
import NetworkTypes
import NodeDocument

/// How Envoy hands links on to the link program (docs/links.md). No DNS labels: a binding of such a name would send the public there.
enum LinkWay {
    static let tls = "link_tls"
    static let webSocket = "link_websocket"
}

extension RelayLink {
    fileprivate func takes(_ carrier: TunnelCarrier) -> Bool { carriers.contains(carrier) }
}

/// TLS by the links' own name, and what is no TLS for WebSockets: both beside the bindings of the port, which are told apart by name, or
/// take all other TLS. Where TLS ends here that lies around the links', both are TLS by that name, and ALPN tells them apart.
func linkFilterChains(_ link: RelayLink) -> [FieldValue] {
    func chain(_ name: String, _ match: FieldValue, _ transportSocket: FieldValue? = nil) -> FieldValue {
        .fields([
            "filter_chain_match": match,
            "filters": [
                .extended(
                    "envoy.filters.network.tcp_proxy", "extensions.filters.network.tcp_proxy.v3.TcpProxy",
                    // A link says something each ten seconds.
                    ["cluster": .string(name), "idle_timeout": .seconds(Limits.linkIdleTimeout), "stat_prefix": .string(name)])
            ],
            "name": .string(name),
            "transport_socket": transportSocket,
            "transport_socket_connect_timeout": transportSocket == nil ? nil : .seconds(Limits.handshakeTimeout),
        ])
    }
    let byName: FieldMembers = ["server_names": [.string(link.hostname)]]
    guard let outer = link.outerTLS else {
        return (link.takes(.tls) ? [chain(LinkWay.tls, .object(byName))] : [])
            + (link.takes(.webSocket) ? [chain(LinkWay.webSocket, ["transport_protocol": "raw_buffer"])] : [])
    }
    func wrapped(_ way: String, _ match: FieldMembers, _ alpn: String) -> FieldValue {
        chain(way, .object(match), downstreamTLS(LinkWay.tls, outer.mode, protocols: [alpn]))
    }
    guard link.takes(.tls) else { return [wrapped(LinkWay.webSocket, byName, "http/1.1")] }
    guard link.takes(.webSocket) else { return [wrapped(LinkWay.tls, byName, UplinkLink.OuterTLS.applicationProtocol)] }
    var byProtocol = byName
    byProtocol["application_protocols"] = [.string(UplinkLink.OuterTLS.applicationProtocol)]
    return [
        wrapped(LinkWay.tls, byProtocol, UplinkLink.OuterTLS.applicationProtocol), wrapped(LinkWay.webSocket, byName, "http/1.1"),
    ]
}

/// The link program's doors on this host; a PROXY header tells it where a link comes from.
func renderLinkClusters() -> [FieldValue] {
    func cluster(_ name: String, _ port: Port) -> FieldValue {
        [
            "connect_timeout": "5s",
            "load_assignment": [
                "cluster_name": .string(name),
                "endpoints": [["lb_endpoints": [["endpoint": ["address": .socketAddress(LinkedUplink.door, port)]]]]],
            ],
            "name": .string(name),
            "per_connection_buffer_limit_bytes": .integer(Limits.linkBuffer),
            "transport_socket": proxyProtocol(.v2),
            "type": "STATIC",
        ]
    }
    // Both, whichever the listener uses: it never refers to one that is gone.
    return [cluster(LinkWay.tls, .linkDoor), cluster(LinkWay.webSocket, .webSocketDoor)]
}
