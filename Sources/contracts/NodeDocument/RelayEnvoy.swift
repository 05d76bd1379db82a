public import NetworkTypes
public import Sodium

/// What Envoy on the VPS serves. The agent writes Envoy's own configuration from it (`EnvoyConfig`).
public struct RelayEnvoy: Hashable, Sendable {
    public var release: EnvoyRelease
    /// What uplinks hand on of Envoy's admin interface.
    public var bridge: BridgeAccess
    public var probing: UplinkProbing
    /// In the order of their names, which are unique; those that share a (protocol, listenPort) are of TLS, and have disjoint hostnames.
    public var bindings: [RelayBinding]
    /// Connections held at once; the unit's LimitNOFILE follows from it.
    public var maxConnections: Int
    /// Seconds that connections of a replaced Envoy may live, 1 or more.
    public var drainSeconds: Int

    public init(
        release: EnvoyRelease, bridge: BridgeAccess, probing: UplinkProbing, bindings: [RelayBinding], maxConnections: Int,
        drainSeconds: Int
    ) {
        self.release = release
        self.bridge = bridge
        self.probing = probing
        self.bindings = bindings.sorted { $0.name < $1.name }
        self.maxConnections = maxConnections
        self.drainSeconds = drainSeconds
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

/// How the prober beside Envoy asks the uplinks.
public struct UplinkProbing: Hashable, Codable, Sendable {
    /// Between two questions to an uplink that is well.
    public var intervalMilliseconds: Int
    /// That an answer may take.
    public var timeoutMilliseconds: Int
    /// Failures in a row that take an uplink out.
    public var unhealthyThreshold: Int

    public init(intervalMilliseconds: Int, timeoutMilliseconds: Int, unhealthyThreshold: Int) {
        self.intervalMilliseconds = intervalMilliseconds
        self.timeoutMilliseconds = timeoutMilliseconds
        self.unhealthyThreshold = unhealthyThreshold
    }
}

extension RelayEnvoy {
    /// The bindings whose certificate and key stay as the host has them, for the writer has nothing better; by name.
    public var keptCertificates: [String] { bindings.lazy.filter(\.keepsCertificate).map(\.name) }

    /// The same with the kept certificates and keys as `former` has them.
    /// - Returns: `missing`: the bindings of which it has none; then the result is not whole.
    public func withKeptCertificates(of former: RelayEnvoy?) -> (envoy: RelayEnvoy, missing: [String]) {
        let kept = Set(keptCertificates)
        if kept.isEmpty { return (self, []) }
        var found: [String: TLSMaterial] = [:]
        for binding in former?.bindings ?? [] where kept.contains(binding.name) { found[binding.name] = binding.tls?.material }
        var whole = self
        var missing: [String] = []
        for index in bindings.indices where bindings[index].keepsCertificate {
            let binding = bindings[index]
            if let material = found[binding.name]?.fitted(to: binding.tls?.mode) {
                whole.bindings[index].tls?.material = material
            } else {
                missing.append(binding.name)
            }
        }
        return (whole, missing)
    }
}
