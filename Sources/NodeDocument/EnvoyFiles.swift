import NetworkTypes

/// What only the host knows of itself, and its Envoy must.
public struct EnvoyHost: Hashable, Sendable {
    /// False where no IPv6 socket can be opened at all (`ipv6.disable=1`); public listeners then take IPv4 alone, for Envoy refuses
    /// a listener that it cannot bind. Disabling IPv6 by sysctl does not count: `::` can still be bound.
    public var hasIPv6: Bool
    /// Bytes of the host's memory; Envoy refuses new connections when its heap nears half of it.
    public var memoryBytes: Int
    /// Files that a service may have open here at once. Envoy crashes where it gets no socket, so it takes fewer connections then.
    public var openFiles: Int

    public init(hasIPv6: Bool, memoryBytes: Int, openFiles: Int = 1 << 20) {
        self.hasIPv6 = hasIPv6
        self.memoryBytes = memoryBytes
        self.openFiles = openFiles
    }

    /// The connections that Envoy may hold: each takes two files, and listeners, checks, UDP sessions and logs want some too.
    public func connections(atMost wanted: Int) -> Int {
        min(wanted, max(1, (openFiles - min(openFiles / 8, 65536)) / 2))
    }

    /// The connections of one binding, so that whoever floods it leaves room for the others; the first few are anyone's.
    func connectionsOfOneBinding(atMost wanted: Int) -> Int {
        let all = connections(atMost: wanted)
        return max(all * 3 / 4, min(all, 64))
    }

    /// Rounded down, so that the few bytes by which a kernel's own share differs change nothing.
    var heapLimit: Int { max(memoryBytes / 2, 128 << 20) / (64 << 20) * (64 << 20) }
}

/// A file under Envoy's working directory.
public struct EnvoyFile: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public enum Kind: Hashable, Sendable {
        /// Read at start only: a change needs a restart.
        case bootstrap
        case listeners
        case clusters
        case endpoints
        case secret
        /// A certificate chain or CA.
        case certificate
        case privateKey
    }

    /// Relative to the working directory, such as `lds.json` or `tls/web-0a1b.key`.
    public var path: String
    public var kind: Kind
    public var contents: String

    public var description: String { "EnvoyFile(\(path), \(contents.utf8.count) bytes)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

extension EnvoyDocument {
    /// Envoy's admin interface seen from its working directory: outside it, so that validating a staged folder never meets the
    /// running Envoy's socket, and the working directory may be read-only. It needs mode 0600 and a folder Envoy's user may write to.
    public static let adminSocket = "../envoy-admin.sock"

    /// The bootstrap: all that a running Envoy does not take over from a file.
    public func bootstrapFile(on host: EnvoyHost) -> EnvoyFile {
        EnvoyFile(path: "bootstrap.json", kind: .bootstrap, contents: extended(bootstrap, overloadManager(on: host)))
    }

    /// All other files, in the order in which to put new ones in place: each before what refers to it.
    /// - Parameter leavingOut: names of listeners that the host cannot serve.
    public func files(on host: EnvoyHost, leavingOut: Set<String> = []) -> [EnvoyFile] {
        var files = tlsFiles.map { file in
            EnvoyFile(
                path: "tls/\(file.name)", kind: file.name.hasSuffix(".key") ? .privateKey : .certificate, contents: file.contents)
        }
        for secret in secrets {
            files.append(
                EnvoyFile(path: "sds/\(secret.name).json", kind: .secret, contents: response(.secret, [secret.json])))
        }
        for assignment in endpoints {
            files.append(
                EnvoyFile(
                    path: "eds/\(assignment.name).json", kind: .endpoints, contents: response(.endpoints, [assignment.json])))
        }
        files.append(
            EnvoyFile(path: "cds.json", kind: .clusters, contents: response(.cluster, clusters.lazy.map { capped($0, on: host) }))
        )
        let served = listeners.lazy.filter { !leavingOut.contains($0.name) }.map { $0.json(on: host) }
        files.append(EnvoyFile(path: "lds.json", kind: .listeners, contents: response(.listener, served)))
        return files
    }

    /// A bootstrap for `envoy --mode validate`, which reads neither `lds.json` nor `cds.json` nor the certificates that a secret's
    /// file names: they all stand in it. To be written beside the other files, and removed after.
    /// - Parameter listeners: whose listeners to check; with fewer at a time, Envoy's refusal tells which one is bad.
    /// - Parameter secrets: whose secrets to load: Envoy refuses a key that does not fit its certificate.
    public func validationBootstrap(
        on host: EnvoyHost, listeners checked: some Collection<EnvoyListener>,
        secrets checkedSecrets: some Collection<EnvoyResource>
    ) -> String {
        let listeners = checked.map { $0.json(on: host) }
        let clusters = clusters.map { capped($0, on: host) } + checkedSecrets.map(secretCheck)
        let resources = [
            "\"clusters\":[\(clusters.joined(separator: ","))]",
            "\"listeners\":[\(listeners.joined(separator: ","))]",
            "\"secrets\":[\(checkedSecrets.lazy.map(\.json).joined(separator: ","))]",
        ]
        let node = "\"node\":{\"cluster\":\"tidegate\",\"id\":\"validation\"}"
        return "{\(node),\(overloadManager(on: host)),\"static_resources\":{\(resources.joined(separator: ","))}}"
    }

    /// The inotify instances that this configuration makes Envoy open, one for each file that it watches: an Envoy that gets none
    /// aborts. The kernel allows 128 to a user by default (`fs.inotify.max_user_instances`).
    public var inotifyInstances: Int { 2 + endpoints.count + 2 * secrets.count }
}

extension EnvoyListener {
    /// The whole resource.
    fileprivate func json(on host: EnvoyHost) -> String {
        extended(host.hasIPv6 ? dualStackJSON ?? json : json, address(on: host))
    }

    /// The listener's `address`, which is not in `json`: a host without IPv6 wants another.
    private func address(on host: EnvoyHost) -> String {
        let text = address.map(\.description) ?? (host.hasIPv6 ? "::" : "0.0.0.0")
        let compatibility = address == nil && host.hasIPv6 ? "\"ipv4_compat\":true," : ""
        return """
            "address":{"socket_address":{"address":"\(text)",\(compatibility)"port_value":\(port),"protocol":"\(`protocol`)"}}
            """
    }
}

private enum ResourceType: String {
    case cluster = "config.cluster.v3.Cluster"
    case endpoints = "config.endpoint.v3.ClusterLoadAssignment"
    case listener = "config.listener.v3.Listener"
    case secret = "extensions.transport_sockets.tls.v3.Secret"
}

/// A DiscoveryResponse, the form of every watched file.
private func response(_ type: ResourceType, _ resources: some Sequence<String>) -> String {
    let typed = resources.map { extended($0, "\"@type\":\"type.googleapis.com/envoy.\(type.rawValue)\"") }
    return "{\"resources\":[\(typed.joined(separator: ","))]}"
}

/// The JSON object `json` with `members` before its own; it has at least one.
private func extended(_ json: String, _ members: String) -> String { "{\(members),\(json.dropFirst())" }

extension EnvoyDocument {
    /// Envoy's default of 1,024 of each would cap every binding in silence, UDP sessions too.
    private func capped(_ cluster: EnvoyResource, on host: EnvoyHost) -> String {
        let all = host.connectionsOfOneBinding(atMost: maxConnections)
        return extended(
            cluster.json,
            """
            "circuit_breakers":{"thresholds":[{"max_connections":\(all),"max_pending_requests":\(all),"max_requests":\(all),\
            "max_retries":\(all),"priority":"DEFAULT"}]}
            """)
    }

    private func overloadManager(on host: EnvoyHost) -> String {
        let type = "type.googleapis.com/envoy.extensions.resource_monitors"
        let monitors = [
            """
            {"name":"envoy.resource_monitors.fixed_heap","typed_config":{"@type":"\(type).fixed_heap.v3.FixedHeapConfig",\
            "max_heap_size_bytes":\(host.heapLimit)}}
            """,
            """
            {"name":"envoy.resource_monitors.global_downstream_max_connections","typed_config":\
            {"@type":"\(type).downstream_connections.v3.DownstreamConnectionsConfig",\
            "max_active_downstream_connections":\(host.connections(atMost: maxConnections))}}
            """,
        ]
        let actions = [("shrink_heap", "0.85"), ("reject_incoming_connections", "0.95")].map { action, threshold in
            """
            {"name":"envoy.overload_actions.\(action)","triggers":[{"name":"envoy.resource_monitors.fixed_heap",\
            "threshold":{"value":\(threshold)}}]}
            """
        }
        return """
            "overload_manager":{"actions":[\(actions.joined(separator: ","))],"refresh_interval":"0.25s",\
            "resource_monitors":[\(monitors.joined(separator: ","))]}
            """
    }

    /// A cluster of no use but that its TLS context loads the secret: a client's, which demands neither certificate nor CA.
    private func secretCheck(_ secret: EnvoyResource) -> String {
        let reference = "{\"name\":\"\(secret.name)\"}"
        let use =
            secret.json.contains("\"validation_context\":")
            ? "\"validation_context_sds_secret_config\":\(reference)"
            : "\"tls_certificate_sds_secret_configs\":[\(reference)]"
        return """
            {"connect_timeout":"1s","name":"check.\(secret.name)","transport_socket":{"name":"envoy.transport_sockets.tls",\
            "typed_config":{"@type":"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",\
            "common_tls_context":{\(use)}}},"type":"STATIC"}
            """
    }
}
