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

    public init(service: String, ports: [RemotePort], clients: [RemoteClientKind], pin: SHA256Digest, forwards: [String]? = nil) {
        format = Self.currentFormat
        self.service = service
        self.ports = ports
        self.clients = clients
        self.pin = pin
        self.forwards = forwards
    }

    /// Why it cannot be served; nil when it can.
    public var fault: String? {
        if format != Self.currentFormat {
            return "format: want \(Self.currentFormat), not \(format): this gateway is of another release"
        }
        if ports.count > RemotePort.most { return "ports: want at most \(RemotePort.most), not \(ports.count)" }
        if let own = ports.first(where: { $0.isGateways }) { return "ports: \(own.port) is the gateway's own" }
        if Set(ports.map(\.key)).count < ports.count { return "ports: one is there twice" }
        return nil
    }
}

/// What the remote is told by its link: where each port leads.
public struct RemotePorts: Hashable, Codable, Sendable {
    /// Bytes at most.
    public static let longest = 64 << 10

    public var ports: [RemotePort]

    public init(ports: [RemotePort]) { self.ports = ports }
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

    /// Of the document in force.
    public var ports: [PortReport]
    /// Why the newest document is not in force; nil where it is.
    public var trouble: String?

    public init(ports: [PortReport], trouble: String? = nil) {
        self.ports = ports
        self.trouble = trouble
    }
}
