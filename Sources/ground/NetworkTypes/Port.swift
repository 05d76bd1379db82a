/// A TCP or UDP port, 1 to 65535.
public struct Port: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let number: UInt16

    /// - Throws: `InvalidValue` for 0 and for anything over 65535.
    public init(_ number: some BinaryInteger) throws(InvalidValue) {
        guard let number16 = UInt16(exactly: number), number16 != 0 else {
            throw InvalidValue(expected: "port", given: "\(number)", reason: "must be between 1 and 65535")
        }
        self.number = number16
    }

    private init(unchecked number: UInt16) { self.number = number }

    /// Readiness of an uplink: `/ready`, `/healthz`, `/status`, `/metrics`.
    public static let uplinkReadiness = Port(unchecked: 40500)
    /// Of the kubelet's probes of an uplink pod, at the pod's address only: `/ready` and `/healthz`. It is not reserved: what comes
    /// through the tunnel to this port is a binding's, and led on before any socket of the pod sees it.
    public static let uplinkProbes = Port(unchecked: 40501)
    /// Where the link program takes links from Envoy, at `LinkedUplink.door`: TLS, and WebSockets.
    public static let linkDoor = Port(unchecked: 40501)
    public static let webSocketDoor = Port(unchecked: 40502)
    /// The read-only bridge to Envoy's admin interface.
    public static let envoyBridge = Port(unchecked: 40600)
    /// Where a remote service's gateway takes its remote, by whatever protocol, and where it tells of itself.
    public static let gateway = Port(unchecked: 28080)
    public static let gatewayStatus = Port(unchecked: 28081)
    /// WireGuard's, within the links of a remote service that has a mesh; UDP.
    public static let mesh = Port(unchecked: 51820)
    /// Where a gateway takes what its own WireGuard sends, at 127.0.0.1.
    public static let meshDoor = Port(unchecked: 51821)
    /// RFC 9110, section 4.2.
    public static let http = Port(unchecked: 80)
    public static let https = Port(unchecked: 443)
    /// SSH (RFC 4253, section 4.1).
    public static let ssh = Port(unchecked: 22)
    /// The default port of an EdgeNode's links: HTTPS's (RFC 9110, section 4.2.2), which every network lets out.
    public static let defaultLink = Port(unchecked: 443)
    /// The default WireGuard port of an EdgeNode.
    public static let defaultTunnel = Port(unchecked: 51821)

    public static func < (a: Port, b: Port) -> Bool { a.number < b.number }
    public var description: String { String(number) }
}

extension Port: Codable {
    public init(from decoder: any Decoder) throws {
        let number = try decoder.singleValueContainer().decode(Int.self)
        do throws(InvalidValue) {
            try self.init(number)
        } catch {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: error.description))
        }
    }
    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(number)
    }
}

/// The transport of a binding, as the API writes it.
public enum TransportProtocol: String, Codable, Hashable, Comparable, CaseIterable, Sendable, CustomStringConvertible {
    case tcp = "TCP"
    case udp = "UDP"

    public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
    public var description: String { rawValue }
}
