import JSON
import NetworkTypes

/// The paths that the configuration, the files and the programs agree on, seen from Envoy's working directory.
public enum EnvoyPath {
    /// Envoy's admin interface: outside the folder, so that validating a staged folder never meets the running Envoy's socket, and
    /// the working directory may be read-only. It needs mode 0600 and a folder Envoy's user may write to.
    public static let adminSocket = "../envoy-admin.sock"
    /// Where the prober tells Envoy of the uplinks (EDS), seen from the same folder.
    public static let discoverySocket = "../envoy-eds.sock"
    /// The static cluster of that socket; no DNS label, so no binding's.
    static let discoveryCluster = "edge_agent"
    /// Where the prober tells Envoy of clusters and listeners, and the cluster of that socket.
    public static let resourceSocket = "../envoy-xds.sock"
    static let resourceCluster = "edge_agent_resources"
    public static let bootstrap = "bootstrap.json"
    /// What each port and binding may hold (`EnvoyConfiguration.limits`).
    public static let limits = "limits.json"

    static func secret(_ name: String) -> String { "./sds/\(name).json" }
    static func tls(_ file: String) -> String { "./tls/\(file)" }
}

extension FieldValue {
    static func duration(_ value: GoDuration) -> FieldValue { .string(value.protobufJSON) }

    static func seconds(_ value: Int) -> FieldValue { .string("\(value)s") }

    /// An `Any` of Envoy's v3 API: `type` without the common prefix, such as `extensions.filters.network.tcp_proxy.v3.TcpProxy`.
    static func typed(_ type: String, _ members: FieldValue = [:]) -> FieldValue {
        guard case .object(var members) = members else { return members }
        members["@type"] = .string("type.googleapis.com/envoy.\(type)")
        return .object(members)
    }

    /// An extension: its name, and its configuration as an `Any`.
    static func extended(_ name: String, _ type: String, _ members: FieldValue = [:]) -> FieldValue {
        ["name": .string(name), "typed_config": typed(type, members)]
    }

    static func socketAddress(_ address: IPv4Address, _ port: Port) -> FieldValue {
        ["socket_address": ["address": .string(address.description), "port_value": .port(port)]]
    }

    static func fileSource(_ path: String) -> FieldValue {
        ["path_config_source": ["path": .string(path)], "resource_api_version": "V3"]
    }

    static let tcpKeepalive: FieldValue = [
        "keepalive_interval": .integer(Limits.keepaliveInterval), "keepalive_probes": .integer(Limits.keepaliveProbes),
        "keepalive_time": .integer(Limits.keepaliveTime),
    ]

    /// A socket option by the kernel's numbers.
    static func socketOption(_ description: String, level: Int, name: Int, value: Int, state: FieldValue = "STATE_PREBIND")
        -> FieldValue
    {
        [
            "description": .string(description), "int_value": .integer(value), "level": .integer(level), "name": .integer(name),
            "state": state,
        ]
    }

    /// IPPROTO_TCP 6, TCP_USER_TIMEOUT 18 (linux/tcp.h).
    private static let userTimeout = socketOption("TCP_USER_TIMEOUT", level: 6, name: 18, value: Limits.userTimeout)

    /// Of connections into the tunnel: the local port of one that has ended is kept from binding (TIME_WAIT) for a minute, and a new
    /// listener may want it. SOL_SOCKET 1, SO_REUSEADDR 2 (asm-generic/socket.h).
    static let upstreamSocketOptions: FieldValue = [
        socketOption("SO_REUSEADDR", level: 1, name: 2, value: 1),
        userTimeout,
    ]

    /// What a TCP listener's connections inherit. A listener's own `tcp_keepalive` is unknown to Envoy 1.36.
    /// SOL_SOCKET 1, SO_KEEPALIVE 9 (asm-generic/socket.h); TCP_KEEPIDLE 4, TCP_KEEPINTVL 5, TCP_KEEPCNT 6 (linux/tcp.h).
    static let downstreamSocketOptions: FieldValue = [
        socketOption("SO_KEEPALIVE", level: 1, name: 9, value: 1),
        socketOption("TCP_KEEPIDLE", level: 6, name: 4, value: Limits.keepaliveTime),
        socketOption("TCP_KEEPINTVL", level: 6, name: 5, value: Limits.keepaliveInterval),
        socketOption("TCP_KEEPCNT", level: 6, name: 6, value: Limits.keepaliveProbes),
        userTimeout,
    ]

    /// Room for bursts, and no "don't fragment": Envoy sets it on every UDP listener, and then drops each answer that is longer than
    /// a packet. It does so before the socket is bound, so ours comes after.
    ///
    /// SOL_SOCKET 1, SO_SNDBUF 7, SO_RCVBUF 8 (asm-generic/socket.h); IPPROTO_IP 0, IP_MTU_DISCOVER 10, IP_PMTUDISC_DONT 0
    /// (linux/in.h); IPPROTO_IPV6 41, IPV6_MTU_DISCOVER 23, IPV6_PMTUDISC_DONT 0 (linux/in6.h).
    static func udpSocketOptions(dualStack: Bool) -> FieldValue {
        let both = [
            socketOption("SO_RCVBUF", level: 1, name: 8, value: Limits.udpSocketBuffer),
            socketOption("SO_SNDBUF", level: 1, name: 7, value: Limits.udpSocketBuffer),
            socketOption("IP_MTU_DISCOVER", level: 0, name: 10, value: 0, state: "STATE_BOUND"),
        ]
        let six = socketOption("IPV6_MTU_DISCOVER", level: 41, name: 23, value: 0, state: "STATE_BOUND")
        return .array(dualStack ? both + [six] : both)
    }
}
