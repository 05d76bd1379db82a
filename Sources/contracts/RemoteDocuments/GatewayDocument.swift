public import NetworkTypes
public import NodeDocument
public import Sodium

/// What a remote service's gateway serves: written by the controller into the Secret that the gateway's pod mounts, read by `uplink gateway`.
public struct GatewayDocument: Hashable, Codable, Sendable {
    public static let currentFormat = 1
    /// The files of the Secret: the document, the seed of the key that links pin (32 bytes), the password that clients of wstunnel and rathole
    /// have (text), and where WebSockets of links are taken (text, begins with `/`).
    public static let fileName = "gateway.json"
    public static let keyName = "key"
    public static let passwordName = "password"
    public static let pathName = "path"

    public var format: Int
    /// `NAMESPACE/NAME`.
    public var service: String
    public var ports: [RemotePort]
    public var clients: [RemoteClientKind]
    /// Of the key that the remote's link shows.
    public var pin: SHA256Digest
    /// Where clients of wstunnel may lead connections on this side (`-L`), `HOST:PORT` each; nil for nowhere.
    public var forwards: [String]?
    /// Nil for none.
    public var mesh: MeshTerms?

    public init(
        service: String, ports: [RemotePort], clients: [RemoteClientKind], pin: SHA256Digest, forwards: [String]? = nil,
        mesh: MeshTerms? = nil
    ) {
        format = Self.currentFormat
        self.service = service
        self.ports = ports
        self.clients = clients
        self.pin = pin
        self.forwards = forwards
        self.mesh = mesh
    }

    /// Why it cannot be served by a gateway whose doors are the usual ones; nil when it can.
    public var fault: String? { fault(doors: [.gateway, .gatewayStatus]) }

    /// Why it cannot be served; nil when it can.
    /// - Parameter doors: TCP ports that the gateway listens at for itself.
    public func fault(doors: [Port]) -> String? {
        if format != Self.currentFormat {
            return "format: want \(Self.currentFormat), not \(format): this gateway is of another release"
        }
        if ports.count > RemotePort.most { return "ports: want at most \(RemotePort.most), not \(ports.count)" }
        if let own = ports.first(where: { $0.protocol == .tcp && doors.contains($0.port) }) {
            return "ports: \(own.port) is the gateway's own"
        }
        if Set(ports.map(\.key)).count < ports.count { return "ports: one is there twice" }
        guard let mesh else { return nil }
        if ports.contains(where: { $0.isMeshes }) { return "ports: UDP \(Port.mesh) is the mesh's" }
        return mesh.fault.map { "mesh.\($0)" }
    }
}

/// What the remote is told by its link: where each port leads.
public struct RemotePorts: Hashable, Codable, Sendable {
    /// Bytes at most.
    public static let longest = 64 << 10

    public var ports: [RemotePort]
    /// Nil where there is none.
    public var mesh: MeshTerms?
    /// How names are resolved in the cluster; nil where it is not known, or there is no mesh.
    public var resolver: ResolverSettings?

    public init(ports: [RemotePort], mesh: MeshTerms? = nil, resolver: ResolverSettings? = nil) {
        self.ports = ports
        self.mesh = mesh
        self.resolver = resolver
    }
}

/// What a gateway says of itself at `/status`.
public struct GatewayReport: Hashable, Codable, Sendable {
    public static let bounds = JSONBounds(bytes: 128 << 10, values: 4096)

    public struct PortReport: Hashable, Codable, Sendable {
        public var name: String
        /// Whose client takes connections for it now; nil while nobody does.
        public var client: RemoteClientKind?
        /// Why it cannot be listened at; nil where it can, or need not be.
        public var trouble: String?

        public init(name: String, client: RemoteClientKind?, trouble: String?) {
            self.name = name
            self.client = client
            self.trouble = trouble
        }
    }

    public struct MeshReport: Hashable, Codable, Sendable {
        /// Whether the remote's WireGuard was heard of within the last seconds.
        public var isUp: Bool
        /// Why this end is not as it should be; nil where it is.
        public var trouble: String?

        public init(isUp: Bool, trouble: String?) {
            self.isUp = isUp
            self.trouble = trouble
        }
    }

    /// Of the document in force.
    public var ports: [PortReport]
    /// Nil where there is none.
    public var mesh: MeshReport?
    /// Why the newest document is not in force; nil where it is.
    public var trouble: String?

    public init(ports: [PortReport], mesh: MeshReport? = nil, trouble: String? = nil) {
        self.ports = ports
        self.mesh = mesh
        self.trouble = trouble
    }
}
