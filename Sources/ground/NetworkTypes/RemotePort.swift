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

    /// Whether it is WireGuard's within the links, where there is a mesh.
    public var isMeshes: Bool { key == Key(.udp, .mesh) }

    /// `8080,9090:metrics:UDP,3000:api`: port, name and protocol, with empty names where none is said.
    public static func list(parsing text: String) throws(InvalidValue) -> [RemotePort] {
        var result: [RemotePort] = []
        for word in text.split(separator: ",") where !word.allSatisfy({ $0 == " " }) {
            let parts = word.split(separator: ":", omittingEmptySubsequences: false).map { $0.filter { $0 != " " } }
            let transport = parts.count == 3 ? TransportProtocol(rawValue: parts[2].uppercased()) : .tcp
            guard parts.count <= 3, let number = Int(parts[0]), let port = try? Port(number), let transport else {
                throw InvalidValue(
                    expected: "port", given: printable(String(word), limit: 40), reason: "want PORT[:NAME[:TCP|UDP]]")
            }
            result.append(RemotePort(name: parts.count > 1 ? parts[1] : "", protocol: transport, port: port, targetPort: port))
        }
        return result
    }

    /// Each once, the first of two, and by a name of its own.
    public static func named(_ ports: [RemotePort]) -> [RemotePort] {
        var result: [RemotePort] = []
        var names: Set<String> = []
        var keys: Set<Key> = []
        for port in ports where keys.insert(port.key).inserted {
            var port = port
            if port.name.utf8.count > longestName || !isDNSLabel(port.name) || names.contains(port.name) {
                port.name = (port.protocol == .tcp ? "port-" : "udp-") + "\(port.port)"
            }
            names.insert(port.name)
            result.append(port)
        }
        return result
    }

    /// Characters of a name (RFC 6335, section 5.1).
    public static let longestName = 15

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
