public import NetworkTypes
public import Sodium

/// The parts of a core/v1 Secret that Tidegate reads. Values are bytes nobody may see.
public struct Secret: Equatable, Sendable {
    public static let kind = "Secret"

    public var metadata: ObjectMeta
    public var data: [String: SecretBytes]

    public init(metadata: ObjectMeta, data: [String: SecretBytes]) {
        self.metadata = metadata
        self.data = data
    }
}

/// The parts of a core/v1 Service that Tidegate reads.
public struct Service: Hashable, Sendable {
    public static let kind = "Service"

    public var metadata: ObjectMeta
    /// Nil for a headless Service and one that has none yet.
    public var clusterIP: IPv4Address?
    public var ports: [ServicePort]

    public init(metadata: ObjectMeta, clusterIP: IPv4Address?, ports: [ServicePort]) {
        self.metadata = metadata
        self.clusterIP = clusterIP
        self.ports = ports
    }
}

public struct ServicePort: Hashable, Sendable {
    public var name: String?
    public var `protocol`: TransportProtocol
    public var port: Port

    public init(name: String? = nil, protocol: TransportProtocol = .tcp, port: Port) {
        self.name = name
        self.protocol = `protocol`
        self.port = port
    }
}
