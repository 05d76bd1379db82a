/// One port of a remote service.
public struct RemotePort: Hashable, Codable, Sendable {
    /// Of one service.
    public static let most = 256

    public struct Key: Hashable, Sendable, CustomStringConvertible {
        public var `protocol`: TransportProtocol
        public var port: Port

        public init(_ protocol: TransportProtocol, _ port: Port) {
            self.protocol = `protocol`
            self.port = port
        }

        public var description: String { "\(`protocol`) \(port)" }
    }

    /// A DNS label of at most 15 characters, as a Service's ports have.
    public var name: String
    public var `protocol`: TransportProtocol
    /// In the cluster.
    public var port: Port
    /// At the remote.
    public var targetPort: Port

    public init(name: String, protocol: TransportProtocol, port: Port, targetPort: Port) {
        self.name = name
        self.protocol = `protocol`
        self.port = port
        self.targetPort = targetPort
    }

    public var key: Key { Key(`protocol`, port) }

    /// Whether the gateway listens there itself.
    public var isGateways: Bool { `protocol` == .tcp && (port == .gateway || port == .gatewayStatus) }

    /// What rathole calls it.
    public var ratholeName: String { (`protocol` == .tcp ? "p" : "u") + "\(port)" }
}

/// Who may be a remote service's other half.
public enum RemoteClientKind: String, Codable, Hashable, Sendable, CaseIterable {
    /// `uplink join`.
    case tidegate = "Tidegate"
    case wstunnel = "Wstunnel"
    case rathole = "Rathole"
}
