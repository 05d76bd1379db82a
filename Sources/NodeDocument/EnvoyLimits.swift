import NetworkTypes

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

extension EnvoyDocument {
    /// The layer of Envoy's runtime that `limits.json` fills; its place is told in the bootstrap.
    static let limitsName = "limits"
    public static let limitsFile = "limits.json"

    /// A member of the bootstrap.
    static let limitsSource = """
        "layered_runtime":{"layers":[{"name":"\(limitsName)","rtds_layer":{"name":"\(limitsName)","rtds_config":\
        {"path_config_source":{"path":"./\(limitsFile)"},"resource_api_version":"V3"}}}]}
        """

    /// Connections to the bridge at once: an uplink's Prometheus keeps one, and people look too.
    var bridgeConnections: Int { 8 + 2 * (probes?.uplinks.count ?? 0) }

    /// Files that the bridge takes: each connection's own, and both ends of one to the admin interface.
    var bridgeFiles: Int { listeners.contains { $0.bindings.isEmpty } ? 3 * bridgeConnections : 0 }

    /// The file of all limits. A listener that cannot be served now keeps its part.
    func limits(on host: EnvoyHost) -> EnvoyFile {
        let tcp = listeners.filter { $0.protocol == .tcp && !$0.bindings.isEmpty }
        let udp = listeners.filter { $0.protocol == .udp }
        let ofListener = host.connectionsOfOneListener(of: tcp.count, atMost: maxConnections)
        let ofSession = host.sessionsOfOneBinding(of: udp.count, atMost: maxConnections)
        // The runtime's key of `tcp_listener_impl.cc`. A monitor of the overload manager would be the newer way, and stands in the bootstrap.
        var limits: [(key: String, value: Int)] = [
            ("overload.global_downstream_max_connections", host.connections(atMost: maxConnections))
        ]
        for listener in listeners {
            if listener.protocol == .udp {
                limits += listener.bindings.map { ("circuit_breakers.\($0).default.max_connections", ofSession) }
            } else {
                let most = listener.bindings.isEmpty ? bridgeConnections : ofListener
                limits.append(("envoy.resource_limits.listener.\(listener.name).connection_limit", most))
                // Those that share a port by hostname share its connections too.
                guard listener.bindings.count > 1 else { continue }
                let share = max(ofListener / 2, min(ofListener, 32))
                limits += listener.bindings.map { ("circuit_breakers.\($0).default.max_connections", share) }
            }
        }
        // In percent; Envoy's `outlier_detection_impl.h` has the key.
        if probes?.uplinks.count == 1 { limits.append(("outlier_detection.enforcing_consecutive_local_origin_failure", 0)) }
        let layer = limits.map { "\"\($0.key)\":\($0.value)" }.joined(separator: ",")
        return EnvoyFile(
            path: Self.limitsFile, kind: .limits,
            contents: """
                {"resources":[{"@type":"type.googleapis.com/envoy.service.runtime.v3.Runtime","layer":{\(layer)},\
                "name":"\(Self.limitsName)"}]}
                """)
    }
}
