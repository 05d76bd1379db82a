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
    /// Files that a child of the agent may have open at once, such as the Envoy that validates.
    public var childFiles: Int
    /// Envoy's worker threads: each has a socket of its own for each listener.
    public var workers: Int
    /// Ports that the kernel gives to what this host opens (`net.ipv4.ip_local_port_range`): each UDP session takes one.
    public var localPorts: Int
    /// Files that stay open whatever connects (`EnvoyDocument.standingFiles`); connections cannot have them.
    public var standingFiles = 0

    public init(
        hasIPv6: Bool, memoryBytes: Int, openFiles: Int = 1 << 20, childFiles: Int = 1 << 20, workers: Int = 1,
        localPorts: Int = Self.usualLocalPorts
    ) {
        self.hasIPv6 = hasIPv6
        self.memoryBytes = memoryBytes
        self.openFiles = openFiles
        self.childFiles = childFiles
        self.workers = workers
        self.localPorts = localPorts
    }

    /// Rounded down, so that the few bytes by which a kernel's own share differs change nothing.
    var heapLimit: Int { max(memoryBytes / 2, 128 << 20) / (64 << 20) * (64 << 20) }
}

/// A file under Envoy's working directory.
public struct EnvoyFile: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    public enum Kind: Hashable, Sendable {
        /// Read at start only: a change needs a restart.
        case bootstrap
        /// For the prober (`UplinkProbes`).
        case probes
        /// What each port and binding may hold; Envoy takes changes over at once.
        case limits
        case secret
        /// A certificate chain or CA.
        case certificate
        case privateKey
    }

    /// Relative to the working directory, such as `bootstrap.json` or `tls/web-0a1b.key`.
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
    /// Where the prober tells Envoy of the uplinks (EDS), seen from the same folder.
    public static let discoverySocket = "../envoy-eds.sock"
    /// The static cluster of that socket; no DNS label, so no binding's.
    public static let discoveryCluster = "edge_agent"
    /// Where the prober tells Envoy of clusters and listeners, and the cluster of that socket.
    public static let resourceSocket = "../envoy-xds.sock"
    public static let resourceCluster = "edge_agent_resources"

    /// The bootstrap: all that a running Envoy does not take over from a file.
    public func bootstrapFile(on host: EnvoyHost) -> EnvoyFile {
        EnvoyFile(
            path: "bootstrap.json", kind: .bootstrap,
            contents: extended(bootstrap, "\(Self.limitsSource),\(overloadManager(on: host))"))
    }

    /// All other files but those of clusters and listeners, in the order in which to put new ones in place: each before what refers to it.
    public func files(on host: EnvoyHost) -> [EnvoyFile] {
        var files = tlsFiles.map { file in
            EnvoyFile(
                path: "tls/\(file.name)", kind: file.name.hasSuffix(".key") ? .privateKey : .certificate, contents: file.contents)
        }
        for secret in secrets {
            files.append(
                EnvoyFile(path: "sds/\(secret.name).json", kind: .secret, contents: response(secret: secret.json)))
        }
        if let probes { files.append(EnvoyFile(path: UplinkProbes.fileName, kind: .probes, contents: probes.text)) }
        files.append(limits(on: host))
        return files
    }

    /// The clusters as Envoy is to have them, the limits of their connections with them; JSON without `@type`.
    public var cappedClusters: [EnvoyResource] { clusters.map { EnvoyResource(name: $0.name, json: capped($0)) } }

    /// The listeners as Envoy is to have them, their addresses with them; JSON without `@type`.
    /// - Parameter leavingOut: names of listeners that the host cannot serve.
    public func listeners(on host: EnvoyHost, leavingOut: Set<String> = []) -> [EnvoyResource] {
        listeners.lazy.filter { !leavingOut.contains($0.name) }.map { EnvoyResource(name: $0.name, json: $0.json(on: host)) }
    }

    /// A bootstrap for `envoy --mode validate`, which asks for neither listeners nor clusters, and does not read the certificates that a secret's
    /// file names: they all stand in it. To be written beside the other files, and removed after.
    /// - Parameter listeners: whose listeners to check; with fewer at a time, Envoy's refusal tells which one is bad.
    /// - Parameter clusters: those to check; nil for all.
    /// - Parameter secrets: whose secrets to load: Envoy refuses a key that does not fit its certificate.
    public func validationBootstrap(
        on host: EnvoyHost, listeners checked: some Collection<EnvoyListener>, clusters checkedClusters: [EnvoyResource]? = nil,
        secrets checkedSecrets: some Collection<EnvoyResource>
    ) -> String {
        let listeners = checked.map { $0.json(on: host) }
        let clusters =
            (checkedClusters ?? clusters).map(capped) + checkedSecrets.map(secretCheck) + [discoveryStub]
        let resources = [
            "\"clusters\":[\(clusters.joined(separator: ","))]",
            "\"listeners\":[\(listeners.joined(separator: ","))]",
            "\"secrets\":[\(checkedSecrets.lazy.map(\.json).joined(separator: ","))]",
        ]
        let node = "\"node\":{\"cluster\":\"tidegate\",\"id\":\"validation\"}"
        // Envoy looks whether there is such a source; it does not ask it.
        let discovery = """
            "dynamic_resources":{"ads_config":{"api_type":"GRPC","grpc_services":[{"envoy_grpc":{"cluster_name":\
            "\(Self.discoveryCluster)"}}],"transport_api_version":"V3"}}
            """
        let rest = [node, discovery, overloadManager(on: host)].joined(separator: ",")
        return "{\(rest),\"static_resources\":{\(resources.joined(separator: ","))}}"
    }

    /// The inotify instances that this configuration takes, one for each file that Envoy watches and one for the prober: an Envoy that
    /// gets none aborts. The kernel allows 128 to a user by default (`fs.inotify.max_user_instances`).
    public var inotifyInstances: Int { 2 + 2 * secrets.count }
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

/// A DiscoveryResponse, the form of every file that Envoy watches.
private func response(secret json: String) -> String {
    let type = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
    return "{\"resources\":[\(extended(json, "\"@type\":\"\(type)\""))]}"
}

/// The JSON object `json` with `members` before its own; it has at least one.
private func extended(_ json: String, _ members: String) -> String { "{\(members),\(json.dropFirst())" }

extension EnvoyDocument {
    /// Envoy's default of 1,024 of each would cap every binding in silence, UDP sessions too. What the host bears stands in `limits`: a
    /// cluster that changes loses its UDP sessions.
    private func capped(_ cluster: EnvoyResource) -> String {
        let all = max(maxConnections * 3 / 4, min(maxConnections, 64))
        return extended(
            cluster.json,
            """
            "circuit_breakers":{"thresholds":[{"max_connections":\(all),"max_pending_requests":\(all),"max_requests":\(all),\
            "max_retries":\(all),"priority":"DEFAULT"}]}
            """)
    }

    private func overloadManager(on host: EnvoyHost) -> String {
        let monitor = """
            {"name":"envoy.resource_monitors.fixed_heap","typed_config":{"@type":\
            "type.googleapis.com/envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",\
            "max_heap_size_bytes":\(host.heapLimit)}}
            """
        let actions = [("shrink_heap", "0.85"), ("reject_incoming_connections", "0.95")].map { action, threshold in
            """
            {"name":"envoy.overload_actions.\(action)","triggers":[{"name":"envoy.resource_monitors.fixed_heap",\
            "threshold":{"value":\(threshold)}}]}
            """
        }
        return """
            "overload_manager":{"actions":[\(actions.joined(separator: ","))],"refresh_interval":"0.25s",\
            "resource_monitors":[\(monitor)]}
            """
    }

    /// The cluster that the source of endpoints names, in the least form that Envoy takes.
    private var discoveryStub: String {
        """
        {"connect_timeout":"1s","name":"\(Self.discoveryCluster)","type":"STATIC","typed_extension_protocol_options":{\
        "envoy.extensions.upstreams.http.v3.HttpProtocolOptions":{"@type":\
        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",\
        "explicit_http_config":{"http2_protocol_options":{}}}}}
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
