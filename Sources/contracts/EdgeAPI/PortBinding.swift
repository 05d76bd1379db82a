public import NetworkTypes

/// Which public ports of an EdgeNode are open, and where each leads.
public struct PortBinding: Hashable, Sendable {
    public static let kind = "PortBinding"

    public var metadata: ObjectMeta
    public var spec: PortBindingSpec
    public var status: PortBindingStatus?

    public init(metadata: ObjectMeta, spec: PortBindingSpec, status: PortBindingStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }

    /// The EdgeNode this belongs to: always one of its own namespace.
    public var edgeNodeName: ObjectName { ObjectName(namespace: metadata.namespace, name: spec.edgeNodeName) }
}

public struct PortBindingSpec: Hashable, Sendable {
    /// `edgeNodeRef.name`.
    public var edgeNodeName: String
    public var bindings: [Binding]

    public init(edgeNodeName: String, bindings: [Binding]) {
        self.edgeNodeName = edgeNodeName
        self.bindings = bindings
    }
}

/// One public port (or the part of one that its TLS names claim) and its target.
public struct Binding: Hashable, Sendable {
    /// A DNS label, unique on the EdgeNode.
    public var name: String
    public var listenPort: Port
    public var target: Target
    public var transport: Transport

    public init(name: String, listenPort: Port, target: Target, transport: Transport) {
        self.name = name
        self.listenPort = listenPort
        self.target = target
        self.transport = transport
    }

    public var `protocol`: TransportProtocol {
        switch transport {
        case .tcp: .tcp
        case .udp: .udp
        }
    }

    /// Nil for UDP and for TCP that is passed on as it is.
    public var tls: TLSOptions? {
        if case .tcp(let options) = transport { options.tls } else { nil }
    }
}

/// The protocol with the parameters that exist for it.
public enum Transport: Hashable, Sendable {
    case tcp(TCPOptions)
    case udp(UDPOptions)
}

/// Where a binding leads inside the private network.
public enum Target: Hashable, Sendable {
    /// The port is the Service's.
    case service(NamespacedReference, port: ServicePortReference, resolve: ServiceResolution = .clusterIP)
    case address(IPv4Address, port: Port)
    /// A name, looked up by the uplink for each connection, or an IPv6 address.
    case host(HostAddress, port: Port)

    public static func service(_ reference: NamespacedReference, port: Port) -> Target {
        .service(reference, port: .number(port))
    }

    /// Nil for an address.
    public var serviceReference: NamespacedReference? {
        if case .service(let reference, _, _) = self { reference } else { nil }
    }
}

/// One of a Service's ports.
public enum ServicePortReference: Hashable, Sendable, CustomStringConvertible {
    case number(Port)
    /// A DNS label with a letter.
    case name(String)

    public var description: String {
        switch self {
        case .number(let port): "\(port)"
        case .name(let name): name
        }
    }
}

/// What stands for a Service.
public enum ServiceResolution: String, CaseIterable, Hashable, Sendable {
    /// Its cluster IP: the cluster's own network spreads the connections.
    case clusterIP = "ClusterIP"
    /// Its ready endpoints, over which the uplinks spread new connections: for headless Services, and Services without selector.
    case endpoints = "Endpoints"
}

public struct TCPOptions: Hashable, Sendable {
    /// 5 s by default.
    public var connectTimeout: GoDuration
    /// 1 h by default; 0 never ends a silent connection.
    public var idleTimeout: GoDuration
    /// The PROXY header each backend connection starts with; nil for none.
    public var proxyProtocol: ProxyProtocolVersion?
    /// Nil for plain TCP.
    public var tls: TLSOptions?

    public init(
        connectTimeout: GoDuration = .seconds(5), idleTimeout: GoDuration = .seconds(3600),
        proxyProtocol: ProxyProtocolVersion? = nil,
        tls: TLSOptions? = nil
    ) {
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
        self.proxyProtocol = proxyProtocol
        self.tls = tls
    }
}

public struct UDPOptions: Hashable, Sendable {
    /// A session ends after this long without a datagram; 60 s by default.
    public var sessionTimeout: GoDuration
    /// 1 to 65,507; 1,500 by default. Longer datagrams are dropped.
    public var maxDatagramBytes: Int

    public init(sessionTimeout: GoDuration = .seconds(60), maxDatagramBytes: Int = 1500) {
        self.sessionTimeout = sessionTimeout
        self.maxDatagramBytes = maxDatagramBytes
    }
}

/// What the edge does with TLS.
public struct TLSOptions: Hashable, Sendable {
    public enum Mode: Hashable, Sendable {
        /// Routed by SNI, never decrypted.
        case passthrough
        /// Ended at the edge with this Secret's certificate.
        case offload(NamespacedReference)
        /// Offload, and the client must show a certificate of the Secret's `ca.crt`.
        case mutual(NamespacedReference)

        public static let names = ["passthrough", "offload", "mutual"]

        public var name: String {
            switch self {
            case .passthrough: "passthrough"
            case .offload: "offload"
            case .mutual: "mutual"
            }
        }

        /// Nil for passthrough.
        public var secretRef: NamespacedReference? {
            switch self {
            case .passthrough: nil
            case .offload(let secret), .mutual(let secret): secret
            }
        }
    }

    public var mode: Mode
    /// SNI names, `*.` wildcards allowed, lower case; empty takes every name, and the listenPort alone.
    public var hostnames: [String]

    public init(mode: Mode, hostnames: [String] = []) {
        self.mode = mode
        self.hostnames = hostnames
    }
}
