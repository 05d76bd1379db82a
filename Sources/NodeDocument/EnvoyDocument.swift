public import NetworkTypes
public import Sodium

/// Envoy's whole configuration as separate resources; the agent composes the files (`files(on:leavingOut:)`).
///
/// Every path inside the JSON texts is relative to Envoy's working directory: `./sds/NAME.json`, `./tls/FILE`. So a staged folder is validated with the very bytes that will run.
public struct EnvoyDocument: Hashable, Codable, Sendable {
    public var release: EnvoyRelease
    /// The bootstrap but for its overload manager, JSON. A change of it needs a restart of Envoy.
    public var bootstrap: String
    public var listeners: [EnvoyListener]
    /// CDS resources, JSON each.
    public var clusters: [EnvoyResource]
    /// The uplinks and what the prober asks them, from which Envoy gets its endpoints. Nil in a document of a build that left probing to
    /// Envoy.
    public var probes: UplinkProbes?
    /// One SDS `Secret` each, for `./sds/NAME.json`; they refer to `tlsFiles`, and hold no key. A binding's are `NAME` and `NAME.ca`.
    public var secrets: [EnvoyResource]
    public var tlsFiles: [TLSFile]
    /// Names of secrets that stay as the host has them, for the writer has nothing better; they are not in `secrets`. Nil for none.
    public var keptSecrets: [String]?
    /// Connections held at once; the unit's LimitNOFILE follows from it.
    public var maxConnections: Int
    /// Seconds that connections of a replaced Envoy may live.
    public var drainSeconds: Int

    public init(
        release: EnvoyRelease, bootstrap: String, listeners: [EnvoyListener], clusters: [EnvoyResource],
        probes: UplinkProbes?,
        secrets: [EnvoyResource], tlsFiles: [TLSFile], keptSecrets: [String]? = nil, maxConnections: Int, drainSeconds: Int
    ) {
        self.release = release
        self.bootstrap = bootstrap
        self.listeners = listeners
        self.clusters = clusters
        self.probes = probes
        self.secrets = secrets
        self.tlsFiles = tlsFiles
        self.keptSecrets = keptSecrets
        self.maxConnections = maxConnections
        self.drainSeconds = drainSeconds
    }
}

extension EnvoyDocument {
    /// The binding that a secret is of.
    public static func binding(ofSecret name: String) -> String { String(name.prefix { $0 != "." }) }

    /// The document with the kept secrets, and their files, as `former` has them.
    /// - Returns: `missing`: those that it has not; then the document is not whole.
    public func withKeptSecrets(of former: EnvoyDocument?) -> (document: EnvoyDocument, missing: [String]) {
        guard let keptSecrets else { return (self, []) }
        var whole = self
        whole.keptSecrets = nil
        let kept = keptSecrets.compactMap { name in former?.secrets.first { $0.name == name } }
        whole.secrets += kept
        let present = Set(tlsFiles.map(\.name))
        whole.tlsFiles += (former?.tlsFiles ?? []).filter { file in
            !present.contains(file.name) && kept.contains { $0.json.contains("/\(file.name)\"") }
        }
        let found = Set(kept.map(\.name))
        return (whole, keptSecrets.filter { !found.contains($0) })
    }
}

/// Which Envoy the host should run and where it comes from.
public struct EnvoyRelease: Hashable, Codable, Sendable {
    /// Such as `1.40.0`.
    public var version: String
    /// Of the binary. Nil accepts an Envoy of that version already on the host, and no download.
    public var sha256: SHA256Digest?
    /// An http or https URL that the agent downloads from; nil when the controller pushes the binary.
    public var url: String?

    public init(version: String, sha256: SHA256Digest?, url: String?) {
        self.version = version
        self.sha256 = sha256
        self.url = url
    }
}

/// A named piece of Envoy configuration.
public struct EnvoyResource: Hashable, Codable, Sendable {
    /// Safe as a file name: `a-z 0-9 - .` only.
    public var name: String
    /// One JSON object, without the `@type` that a DiscoveryResponse wants.
    public var json: String

    public init(name: String, json: String) {
        self.name = name
        self.json = json
    }
}

/// A listener: one public port. Its filter chains are bindings.
public struct EnvoyListener: Hashable, Codable, Sendable {
    /// `tcp-443`, `udp-53`, `bridge`.
    public var name: String
    public var `protocol`: TransportProtocol
    public var port: Port
    /// Nil for every address of the host, both families.
    public var address: IPv4Address?
    /// The bindings behind it, by name; empty for the bridge.
    public var bindings: [String]
    /// One JSON object, without `@type` and without `address`.
    public var json: String
    /// What to take in place of `json` on a host with IPv6: a socket of both families has options of its own. Nil for the same.
    public var dualStackJSON: String?

    /// The name of the listener of that port, `tcp-443`.
    public static func conventionalName(_ protocol: TransportProtocol, _ port: Port) -> String {
        "\(`protocol`.rawValue.lowercased())-\(port)"
    }

    public init(
        name: String, protocol: TransportProtocol, port: Port, address: IPv4Address? = nil, bindings: [String], json: String,
        dualStackJSON: String? = nil
    ) {
        self.name = name
        self.protocol = `protocol`
        self.port = port
        self.address = address
        self.bindings = bindings
        self.json = json
        self.dualStackJSON = dualStackJSON
    }
}

/// A certificate chain, key or CA as a file of its own under `./tls/`, named after its content.
public struct TLSFile: Hashable, Codable, Sendable, CustomStringConvertible, CustomReflectable {
    /// `NAME-HASH.crt`, `.key` or `.ca`.
    public var name: String
    /// PEM.
    public var contents: String

    public init(name: String, contents: String) {
        self.name = name
        self.contents = contents
    }

    public var description: String { "TLSFile(\(name), \(contents.utf8.count) bytes)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}
