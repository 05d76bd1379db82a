public import JSON
public import NetworkTypes

/// One VPS and the tunnel from it into the private network.
public struct EdgeNode: Hashable, Sendable {
    public static let kind = "EdgeNode"

    public var metadata: ObjectMeta
    public var spec: EdgeNodeSpec
    public var status: EdgeNodeStatus?

    public init(metadata: ObjectMeta, spec: EdgeNodeSpec, status: EdgeNodeStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

public struct EdgeNodeSpec: Hashable, Sendable {
    /// The VPS as SSH and the uplinks reach it.
    public var address: HostAddress
    public var ssh: SSHSpec
    public var edge: EdgeSpec
    public var tunnel: TunnelSpec
    public var uplink: UplinkSpec
    public var host: HostSpec

    public init(
        address: HostAddress, ssh: SSHSpec, edge: EdgeSpec = EdgeSpec(), tunnel: TunnelSpec = TunnelSpec(),
        uplink: UplinkSpec = UplinkSpec(), host: HostSpec = HostSpec()
    ) {
        self.address = address
        self.ssh = ssh
        self.edge = edge
        self.tunnel = tunnel
        self.uplink = uplink
        self.host = host
    }
}

/// How the controller reaches the VPS.
public struct SSHSpec: Hashable, Sendable {
    public var port: Port
    public var user: String
    /// For connection, handshake and authentication together; 30 s by default.
    public var connectTimeout: GoDuration
    public var secretRef: NamespacedReference
    /// Accept any host key. Only for a network that is trusted anyway.
    public var insecureSkipHostKeyVerification: Bool

    public init(
        port: Port = .ssh, user: String = "root", connectTimeout: GoDuration = .seconds(30), secretRef: NamespacedReference,
        insecureSkipHostKeyVerification: Bool = false
    ) {
        self.port = port
        self.user = user
        self.connectTimeout = connectTimeout
        self.secretRef = secretRef
        self.insecureSkipHostKeyVerification = insecureSkipHostKeyVerification
    }
}

/// The proxy on the VPS.
public struct EdgeSpec: Hashable, Sendable {
    public var healthCheck: HealthCheckSpec
    /// Connections held at once over all bindings, 1 to 1,000,000; 32,768 by default. More are refused.
    public var maxConnections: Int
    /// How long connections of a replaced Envoy may live; 15 min by default.
    public var drainTimeout: GoDuration
    /// What uplinks hand on of Envoy's admin interface on :40600.
    public var bridge: BridgeAccess

    public init(
        healthCheck: HealthCheckSpec = HealthCheckSpec(), maxConnections: Int = 32768, drainTimeout: GoDuration = .seconds(900),
        bridge: BridgeAccess = .readOnly
    ) {
        self.healthCheck = healthCheck
        self.maxConnections = maxConnections
        self.drainTimeout = drainTimeout
        self.bridge = bridge
    }
}

/// Envoy's probes of each uplink's `/ready`.
public struct HealthCheckSpec: Hashable, Sendable {
    public var interval: GoDuration
    public var timeout: GoDuration
    /// Successes in a row before a replica is back in rotation, 1 to 100.
    public var healthyThreshold: Int
    /// Failures in a row before a replica is taken out, 1 to 100.
    public var unhealthyThreshold: Int

    public init(
        interval: GoDuration = .seconds(5), timeout: GoDuration = .seconds(2), healthyThreshold: Int = 2,
        unhealthyThreshold: Int = 2
    ) {
        self.interval = interval
        self.timeout = timeout
        self.healthyThreshold = healthyThreshold
        self.unhealthyThreshold = unhealthyThreshold
    }
}

/// What is between the VPS and the uplinks: a network of WireGuard, links, or both.
public struct TunnelSpec: Hashable, Sendable {
    /// UDP, on the VPS.
    public var listenPort: Port
    /// The relay is base+1, uplink i is base+2+i.
    public var network: CIDR
    /// Bytes, 576 to 65535 (1280 is the least for IPv6 inside).
    public var mtu: Int
    /// Seconds, 0 to 65535; 0 sends none, and NAT will forget the uplinks.
    public var persistentKeepalive: Int
    /// In the order of preference; one at least, none twice. WireGuard alone by default.
    public var carriers: [TunnelCarrier]
    public var link: LinkSpec

    public init(
        listenPort: Port = .defaultTunnel, network: CIDR = Self.defaultNetwork, mtu: Int = 1420, persistentKeepalive: Int = 25,
        carriers: [TunnelCarrier] = [.wireGuard], link: LinkSpec = LinkSpec()
    ) {
        self.listenPort = listenPort
        self.network = network
        self.mtu = mtu
        self.persistentKeepalive = persistentKeepalive
        self.carriers = carriers
        self.link = link
    }

    public var hasLinks: Bool { carriers.contains(where: \.isLink) }
    /// Whether links come by `link.listenPort`.
    public var takesLinkPort: Bool { carriers.contains(where: \.takesLinkPort) }
    public var takesSSH: Bool { carriers.contains(.ssh) }

    /// 10.200.0.0/24.
    public static let defaultNetwork = CIDR(masking: IPv4Address(number: 0x0AC8_0000), prefixLength: 24)
}

/// The links (docs/links.md), where `carriers` has any.
public struct LinkSpec: Hashable, Sendable {
    /// TCP, on the VPS; 443 by default.
    public var listenPort: Port
    /// The name by which TLS links ask for the port (SNI); nil for one of the EdgeNode's own.
    public var hostname: String?
    /// Where WebSockets are taken; nil for a path of the EdgeNode's own, which nobody guesses.
    public var path: String?
    /// Where uplinks open WebSockets, `wss://www.example.com/link`, where a web server, an ingress or a CDN stands before the VPS; nil for
    /// the VPS itself.
    public var url: String?
    /// Links that each uplink keeps up, 1 to 8.
    public var connections: Int
    /// The certificate for `hostname` that the port shows; nil where the links' own TLS is the only one.
    public var secretRef: NamespacedReference?
    /// Whose certificates uplinks must show there; nil for nobody's. Only with `secretRef`.
    public var clientCASecretRef: NamespacedReference?

    public init(
        listenPort: Port = .defaultLink, hostname: String? = nil, path: String? = nil, url: String? = nil, connections: Int = 2,
        secretRef: NamespacedReference? = nil, clientCASecretRef: NamespacedReference? = nil
    ) {
        self.listenPort = listenPort
        self.hostname = hostname
        self.path = path
        self.url = url
        self.connections = connections
        self.secretRef = secretRef
        self.clientCASecretRef = clientCASecretRef
    }
}

extension EdgeNode {
    /// The Secrets that it names, but for those that only its uplinks read.
    public var secretNames: Set<ObjectName> {
        let link = spec.tunnel.link
        return Set([spec.ssh.secretRef, link.secretRef, link.clientCASecretRef].compactMap { $0?.objectName(in: metadata) })
    }
}

/// The uplinks: StatefulSet pods in Kubernetes, processes in standalone mode.
public struct UplinkSpec: Hashable, Sendable {
    /// Where the uplink objects live; immutable.
    public var namespace: String
    /// 1 to 253.
    public var replicas: Int
    public var labels: [String: String]
    public var annotations: [String: String]
    /// A core/v1 ResourceRequirements, passed on as it is; nil for none.
    public var resources: FieldValue?
    public var nodeSelector: [String: String]
    /// core/v1 Tolerations, passed on as they are.
    public var tolerations: [FieldValue]
    /// A core/v1 Affinity; nil for anti-affinity by host name.
    public var affinity: FieldValue?
    /// The Secret in `namespace` with HTTPS_PROXY, and NO_PROXY or none, by which links leave; nil for no proxy.
    public var proxySecret: String?
    /// The Secret in `namespace` with tls.crt and tls.key, which links show to who asks for a client's certificate; nil for none.
    public var clientCertificateSecret: String?

    public init(
        namespace: String = "tunnel", replicas: Int = 1, labels: [String: String] = [:], annotations: [String: String] = [:],
        resources: FieldValue? = nil, nodeSelector: [String: String] = [:], tolerations: [FieldValue] = [],
        affinity: FieldValue? = nil, proxySecret: String? = nil, clientCertificateSecret: String? = nil
    ) {
        self.namespace = namespace
        self.replicas = replicas
        self.labels = labels
        self.annotations = annotations
        self.resources = resources
        self.nodeSelector = nodeSelector
        self.tolerations = tolerations
        self.affinity = affinity
        self.proxySecret = proxySecret
        self.clientCertificateSecret = clientCertificateSecret
    }
}

/// Tuning of the VPS itself.
public struct HostSpec: Hashable, Sendable {
    /// `net.core.rmem_max` and `wmem_max`, bytes; 26,214,400 by default, 0 leaves them alone.
    public var kernelMaxSocketBufferBytes: Int
    /// Turn GRO, GSO, TSO and LRO of the public interface off.
    public var disableNicOffloads: Bool

    public init(kernelMaxSocketBufferBytes: Int = 26_214_400, disableNicOffloads: Bool = false) {
        self.kernelMaxSocketBufferBytes = kernelMaxSocketBufferBytes
        self.disableNicOffloads = disableNicOffloads
    }
}
