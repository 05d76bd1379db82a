import JSON
import NetworkTypes
import NodeDocument

/// What each port and each binding may hold at most, so that one that is attacked takes nothing from the others.
///
/// Envoy reads these from a file of their own (RTDS) and holds to them at once: a limit in a cluster would end its UDP sessions with each
/// change, and one in the bootstrap would want a restart.
extension EnvoyHost {
    /// Files that come and go with clients.
    private var clientFiles: Int { max(4, openFiles - reservedFiles) }

    /// The TCP connections that Envoy may hold: each takes two files. A quarter of the files is for UDP sessions, whether there are UDP
    /// bindings or not: no binding that comes may cut the connections of others.
    public func connections(atMost wanted: Int) -> Int { min(wanted, max(1, clientFiles * 3 / 8)) }

    /// The UDP sessions of all bindings together: each takes a file and, whatever the uplink, one of the host's local ports, of which
    /// two Envoys share a hot restart's. When bindings are added, what the others hold already goes over this by three quarters at most.
    func udpSessions(atMost wanted: Int) -> Int { max(1, min(wanted, min(clientFiles / 7, localPorts * 2 / 5))) }

    /// Files for what comes and goes where neither the host nor the number of local ports sets a limit.
    public static func clientFiles(maxConnections: Int) -> Int {
        maxConnections * 2 + min(maxConnections, usualLocalPorts * 2 / 5) * 7 / 4
    }

    /// The local ports that the agent asks the kernel for, 10240 to 65535.
    public static let usualLocalPorts = 55_296

    /// The connections of one TCP port, whether a handshake, a filter or an uplink has seen them or not: with two ports half of all, with
    /// more a third. The first few are anyone's.
    func connectionsOfOneListener(of count: Int, atMost wanted: Int) -> Int {
        let all = connections(atMost: wanted)
        return max(count < 2 ? all * 3 / 4 : all / min(count, 3), min(all, 64))
    }

    /// The sessions of one UDP binding. They cost a stranger one datagram with a made-up source, so all bindings together stay within
    /// `udpSessions`, however many are attacked.
    func sessionsOfOneBinding(of count: Int, atMost wanted: Int) -> Int {
        let all = udpSessions(atMost: wanted)
        return max(1, count < 2 ? all * 3 / 4 : all / count)
    }
}

/// The layer of Envoy's runtime that `limits.json` fills.
private let limitsName = "limits"

/// The layer's place, a member of the bootstrap.
let limitsSource: FieldValue = [
    "layers": [
        [
            "name": .string(limitsName),
            "rtds_layer": [
                "name": .string(limitsName),
                "rtds_config": ["path_config_source": ["path": .string("./\(EnvoyPath.limits)")], "resource_api_version": "V3"],
            ],
        ]
    ]
]

extension EnvoyConfiguration {
    /// Connections to the bridge at once: those of each that may have some, and some to be refused in.
    var bridgeConnections: Int { Limits.bridgeConnectionsOfOne * (relay.peers.count + 2) }

    /// Files that the bridge takes: each connection's own, and both ends of one to the admin interface.
    var bridgeFiles: Int { envoy.bridge == .off ? 0 : 3 * bridgeConnections }

    /// All limits, a DiscoveryResponse. A listener that cannot be served now keeps its part.
    func limits(on host: EnvoyHost) -> FieldValue {
        let tcp = listeners.lazy.filter { $0.protocol == .tcp && !$0.isBridge }.count
        let udp = listeners.lazy.filter { $0.protocol == .udp }.count
        let most = envoy.maxConnections
        let ofListener = host.connectionsOfOneListener(of: tcp, atMost: most)
        let ofSession = host.sessionsOfOneBinding(of: udp, atMost: most)
        var limits: [(key: String, value: FieldValue)] = []
        func limit(_ key: String, _ value: Int) { limits.append((key: key, value: .integer(value))) }
        // The runtime's key of `tcp_listener_impl.cc`. A monitor of the overload manager would be the newer way, and stands in the bootstrap.
        limit("overload.global_downstream_max_connections", host.connections(atMost: most))
        for listener in listeners {
            if listener.protocol == .udp {
                for name in listener.bindings { limit("circuit_breakers.\(name).default.max_connections", ofSession) }
            } else {
                limit(
                    "envoy.resource_limits.listener.\(listener.name).connection_limit",
                    listener.isBridge ? bridgeConnections : ofListener)
                // Those that share a port by hostname share its connections too, and two that are flooded leave the links a quarter.
                guard listener.bindings.count > (listener.takesLinks ? 0 : 1) else { continue }
                let share = max(listener.takesLinks ? ofListener * 3 / 8 : ofListener / 2, min(ofListener, 32))
                for name in listener.bindings { limit("circuit_breakers.\(name).default.max_connections", share) }
            }
        }
        // The link program has the older strangers make place for the younger. Envoy, which would stop at 1,024, refused the uplinks for them.
        if link?.envoyPort != nil {
            for way in [LinkWay.tls, LinkWay.webSocket] { limit("circuit_breakers.\(way).default.max_connections", ofListener) }
        }
        // In percent; Envoy's `outlier_detection_impl.h` has the key.
        if ways.count == 1 { limit("outlier_detection.enforcing_consecutive_local_origin_failure", 0) }
        return [
            "resources": [
                [
                    "@type": "type.googleapis.com/envoy.service.runtime.v3.Runtime", "layer": .object(FieldMembers(limits)),
                    "name": .string(limitsName),
                ]
            ]
        ]
    }
}
