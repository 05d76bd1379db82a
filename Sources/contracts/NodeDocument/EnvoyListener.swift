public import NetworkTypes

/// One port that Envoy opens: a public one, whose filter chains are bindings, or the bridge.
public struct EnvoyListener: Hashable, Sendable {
    /// `tcp-443`, `udp-53`, `bridge`.
    public var name: String
    public var `protocol`: TransportProtocol
    public var port: Port
    /// Nil for every address of the host, both families.
    public var address: IPv4Address?
    /// The bindings behind it, by name, sorted; empty for the bridge, and for a port that links have alone.
    public var bindings: [String]
    /// Whether links come in here too.
    public var takesLinks: Bool

    /// The listener's name on the relay's tunnel address, by which uplinks read Envoy's admin interface.
    public static let bridgeName = "bridge"

    /// The name of the listener of that port, `tcp-443`.
    public static func conventionalName(_ protocol: TransportProtocol, _ port: Port) -> String {
        "\(`protocol`.rawValue.lowercased())-\(port)"
    }

    /// A public listener.
    public init(_ protocol: TransportProtocol, _ port: Port, bindings: [String], takesLinks: Bool = false) {
        name = Self.conventionalName(`protocol`, port)
        self.protocol = `protocol`
        self.port = port
        self.bindings = bindings
        self.takesLinks = takesLinks
    }

    /// The bridge.
    public init(bridgeAt address: IPv4Address) {
        name = Self.bridgeName
        `protocol` = .tcp
        port = .envoyBridge
        self.address = address
        bindings = []
        takesLinks = false
    }

    public var isBridge: Bool { name == Self.bridgeName }

    /// The listener without those bindings; nil when none is left.
    public func without(_ gone: Set<String>) -> EnvoyListener? {
        if !bindings.contains(where: gone.contains) { return self }
        var rest = self
        rest.bindings.removeAll(where: gone.contains)
        return rest.bindings.isEmpty && !takesLinks ? nil : rest
    }
}

extension RelayContent {
    /// All ports that Envoy opens: the bridge first, then by port, TCP before UDP.
    public var listeners: [EnvoyListener] { envoy.listeners(bridgeAt: wireGuard.address, linksAt: link?.envoyPort) }
}

extension RelayEnvoy {
    /// All ports that Envoy opens: the bridge first, then by port, TCP before UDP.
    /// - Parameter address: the relay's in the tunnel.
    /// - Parameter linkPort: that of links, which has a listener in any case; nil where there are none.
    public func listeners(bridgeAt address: IPv4Address, linksAt linkPort: Port? = nil) -> [EnvoyListener] {
        var names: [EnvoyPort: [String]] = [:]
        for binding in bindings {
            names[EnvoyPort(port: binding.listenPort, protocol: binding.protocol), default: []].append(binding.name)
        }
        let links = linkPort.map { EnvoyPort(port: $0, protocol: .tcp) }
        if let links { names[links, default: []] += [] }
        let ports = names.keys.sorted { ($0.port, $0.protocol) < ($1.port, $1.protocol) }
        let bridges = bridge == .off ? [] : [EnvoyListener(bridgeAt: address)]
        return bridges
            + ports.map { EnvoyListener($0.protocol, $0.port, bindings: (names[$0] ?? []).sorted(), takesLinks: $0 == links) }
    }
}

private struct EnvoyPort: Hashable {
    var port: Port
    var `protocol`: TransportProtocol
}
