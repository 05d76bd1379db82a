public import NetworkTypes

/// What runs elsewhere and appears as a Service here: its ports, and the gateway by which it comes.
public struct RemoteService: Hashable, Sendable {
    public static let kind = "RemoteService"

    public var metadata: ObjectMeta
    public var spec: RemoteServiceSpec
    public var status: RemoteServiceStatus?

    public init(metadata: ObjectMeta, spec: RemoteServiceSpec, status: RemoteServiceStatus? = nil) {
        self.metadata = metadata
        self.spec = spec
        self.status = status
    }
}

public struct RemoteServiceSpec: Hashable, Sendable {
    public var ports: [RemotePort]
    /// Who may be the remote: at least one.
    public var clients: [RemoteClientKind]
    public var gateway: RemoteGateway
    /// Nil for none.
    public var mesh: RemoteMesh?

    public init(
        ports: [RemotePort], clients: [RemoteClientKind] = [.tidegate], gateway: RemoteGateway, mesh: RemoteMesh? = nil
    ) {
        self.ports = ports
        self.clients = clients
        self.gateway = gateway
        self.mesh = mesh
    }
}

/// A network of two, the gateway and the remote: the remote reaches the cluster by it, and the cluster all ports of the remote.
public struct RemoteMesh: Hashable, Sendable {
    /// What the remote reaches: the cluster's pods and services, say. At least one.
    public var clusterCIDRs: [CIDR]
    /// Of the two ends' own addresses.
    public var network: CIDR
    /// Bytes.
    public var mtu: Int

    public init(clusterCIDRs: [CIDR], network: CIDR = MeshBounds.usualNetwork, mtu: Int = MeshBounds.usualMTU) {
        self.clusterCIDRs = clusterCIDRs
        self.network = network
        self.mtu = mtu
    }
}

/// Where the remote comes in, and what its gateway is.
public struct RemoteGateway: Hashable, Sendable {
    public enum Entrance: Hashable, Sendable {
        case ingress(RemoteIngress)
        /// A TCP port of an EdgeNode of the same namespace.
        case edgeNode(name: String, listenPort: Port)
    }

    public var entrance: Entrance
    /// `HOST:PORT`, where clients of wstunnel may lead connections on this side.
    public var forwards: [String]

    public init(entrance: Entrance, forwards: [String] = []) {
        self.entrance = entrance
        self.forwards = forwards
    }
}

public struct RemoteIngress: Hashable, Sendable {
    /// An issuer of cert-manager.
    public struct Issuer: Hashable, Sendable {
        public static let kinds = ["Issuer", "ClusterIssuer"]

        public var name: String
        public var kind: String

        public init(name: String, kind: String) {
            self.name = name
            self.kind = kind
        }
    }

    /// Nil for the cluster's default class.
    public var className: String?
    /// Nil for one of the operator's wildcard domain.
    public var host: String?
    /// Of the RemoteService's namespace; nil for none.
    public var tlsSecretName: String?
    /// Whose certificate the host gets, in a Secret of ours; nil for none.
    public var issuer: Issuer?

    public init(className: String? = nil, host: String? = nil, tlsSecretName: String? = nil, issuer: Issuer? = nil) {
        self.className = className
        self.host = host
        self.tlsSecretName = tlsSecretName
        self.issuer = issuer
    }

    public var hasTLS: Bool { tlsSecretName != nil || issuer != nil }
}

/// What is known of a RemoteService.
public struct RemoteServiceStatus: Hashable, Sendable {
    public struct PortStatus: Hashable, Sendable {
        public var name: String
        /// Whose client takes its connections; nil while nobody does.
        public var client: RemoteClientKind?
        /// What is wrong with the port; empty for nothing.
        public var message: String

        public init(name: String, client: RemoteClientKind?, message: String) {
            self.name = name
            self.client = client
            self.message = message
        }
    }

    /// `Ready`, `GatewayReady`, `Connected`.
    public var conditions: [Condition]
    public var observedGeneration: Int64
    /// Where the remote comes in, `wss://host`; nil before it is known.
    public var url: String?
    /// The host of `url` that this one has of the wildcard domain; nil where it has none.
    public var host: String?
    /// The Secret with what the remote is started with; nil before there is one.
    public var joinSecret: String?
    public var ports: [PortStatus]
    /// `1/2`: how many of the ports have a client. For kubectl's columns, which cannot count.
    public var connectedPorts: String?

    public init(
        conditions: [Condition] = [], observedGeneration: Int64 = 0, url: String? = nil, host: String? = nil,
        joinSecret: String? = nil, ports: [PortStatus] = [], connectedPorts: String? = nil
    ) {
        self.conditions = conditions
        self.observedGeneration = observedGeneration
        self.url = url
        self.host = host
        self.joinSecret = joinSecret
        self.ports = ports
        self.connectedPorts = connectedPorts
    }
}
