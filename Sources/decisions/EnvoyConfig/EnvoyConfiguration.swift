public import JSON
import NetworkTypes
public import NodeDocument
public import Sodium

/// Envoy's configuration for a relay's document. Each resource is written when it is asked for: of 5,000 bindings mostly one changes.
///
/// Equal documents give equal bytes, whatever the order of their bindings and peers.
public struct EnvoyConfiguration: Sendable {
    public let relay: RelayWireGuard
    public let envoy: RelayEnvoy
    public let link: RelayLink?
    /// The bridge first, then by port.
    public let listeners: [EnvoyListener]
    private let uplinkHash: SHA256Digest?
    private let bindingsByName: [String: RelayBinding]

    /// - Parameter content: has unique binding names, none of them with a fault (`RelayBinding.fault`), and hostnames that are
    ///   disjoint where bindings share a port.
    /// - Parameter uplinkHash: of the uplinks' document that forwards all of them; nil where none is known.
    public init(_ content: RelayContent, uplinkHash: SHA256Digest? = nil) {
        self.init(content.wireGuard, content.envoy, content.link, uplinkHash)
    }

    private init(_ relay: RelayWireGuard, _ envoy: RelayEnvoy, _ link: RelayLink?, _ uplinkHash: SHA256Digest?) {
        self.relay = relay
        self.link = link
        self.envoy = envoy
        self.uplinkHash = uplinkHash
        listeners = envoy.listeners(bridgeAt: relay.address, linksAt: link?.envoyPort)
        bindingsByName = Dictionary(envoy.bindings.map { ($0.name, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The same for another Envoy of the same relay.
    public func with(_ envoy: RelayEnvoy) -> EnvoyConfiguration { EnvoyConfiguration(relay, envoy, link, uplinkHash) }

    /// By name.
    public var bindings: [RelayBinding] { envoy.bindings }

    public func binding(_ name: String) -> RelayBinding? { bindingsByName[name] }

    // MARK: resources

    /// The listener of that port.
    /// - Parameter host: nil leaves out the address, which differs on a host without IPv6.
    public func resource(_ listener: EnvoyListener, on host: EnvoyHost?) -> FieldValue {
        let json =
            listener.isBridge
            ? bridgeListener(envoy.bridge, sources: bridgeSources)
            : publicListener(
                listener, listener.bindings.compactMap(binding), links: listener.takesLinks ? link : nil,
                dualStack: host?.hasIPv6 == true, waitsForHandshakes: envoy.release.waitsForHandshakes)
        guard let host, case .object(var members) = json else { return json }
        members["address"] = listener.address(on: host)
        return .object(members)
    }

    private var bridgeSources: [(name: String, address: IPv4Address)] {
        relay.peers.sorted { $0.ordinal < $1.ordinal }.map { (name: "\($0.ordinal)", address: $0.address) }
            + [(name: "relay", address: relay.address)]
    }

    /// The cluster of a binding, which has its name.
    ///
    /// What the host bears stands in `limits`: a cluster that changes loses its UDP sessions.
    /// - Parameter isCapped: false leaves out how many connections it may have.
    public func cluster(_ binding: RelayBinding, isCapped: Bool = true) -> FieldValue {
        let most = max(envoy.maxConnections * 3 / 4, min(envoy.maxConnections, 64))
        return renderCluster(binding, connections: isCapped ? most : nil)
    }

    /// The clusters of all bindings, and of those bindings besides, and the links' own.
    public func clusters(also gone: [RelayBinding] = []) -> [FieldValue] { (bindings + gone).map { cluster($0) } + linkClusters }

    /// Where Envoy hands links on, by the way that they take.
    public var linkClusters: [FieldValue] { link == nil ? [] : renderLinkClusters() }

    /// Of all bindings whose TLS ends here, by name, and the links'.
    public var secrets: [TLSSecret] { bindings.flatMap(secrets) + tlsSecrets(LinkWay.tls, link?.outerTLS) }

    public func secrets(_ binding: RelayBinding) -> [TLSSecret] { tlsSecrets(binding.name, binding.tls) }

    /// The bootstrap.
    /// - Parameter host: nil leaves out what depends on the host.
    public func bootstrap(on host: EnvoyHost?) -> FieldValue { renderBootstrap(on: host) }

    /// By ordinal and priority.
    var ways: [ProbedUplink] {
        let hasBoth = link?.hasWireGuard == true
        var ways: [ProbedUplink] = []
        if link?.hasWireGuard ?? true {
            ways += relay.peers.map {
                ProbedUplink(ordinal: $0.ordinal, address: $0.address, priority: hasBoth ? link?.wireGuardPriority : nil)
            }
        }
        ways += (link?.uplinks ?? []).map {
            ProbedUplink(ordinal: $0.ordinal, address: $0.address, priority: hasBoth ? link?.linkPriority : nil)
        }
        return ways.sorted { ($0.ordinal, $0.priority ?? 0) < ($1.ordinal, $1.priority ?? 0) }
    }

    public var probes: UplinkProbes {
        UplinkProbes(
            probing: envoy.probing,
            uplinks: ways,
            tunnelPorts: bindingsByName.mapValues(\.tunnelPort), document: uplinkHash)
    }
}

extension RelayEnvoy {
    /// The inotify instances that this configuration takes, one for each file that Envoy watches and one for the prober: an Envoy that
    /// gets none aborts. The kernel allows 128 to a user by default (`fs.inotify.max_user_instances`).
    public var inotifyInstances: Int { 2 + 2 * bindings.reduce(0) { $0 + $1.secretCount } }
}

extension RelayLink {
    /// The same, for what the links want besides.
    public var inotifyInstances: Int { 2 * (outerTLS?.secretCount ?? 0) }
}

extension RelayBinding {
    /// Secrets that Envoy is to discover for it.
    var secretCount: Int { tls?.secretCount ?? 0 }
}

extension RelayTLS {
    fileprivate var secretCount: Int {
        switch mode {
        case .passthrough: 0
        case .offload: 1
        case .mutual: 2
        }
    }
}

extension EnvoyListener {
    fileprivate func address(on host: EnvoyHost) -> FieldValue {
        let text = address.map(\.description) ?? (host.hasIPv6 ? "::" : "0.0.0.0")
        return [
            "socket_address": .fields([
                "address": .string(text), "ipv4_compat": address == nil && host.hasIPv6 ? true : nil,
                "port_value": .port(port), "protocol": .string(`protocol`.rawValue),
            ])
        ]
    }
}
