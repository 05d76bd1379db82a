public import NetworkTypes

/// A binding as the VPS serves it: a public port, or some hostnames of one, and the port by which the uplinks know it.
public struct RelayBinding: Hashable, Sendable {
    /// A DNS label.
    public var name: String
    public var listenPort: Port
    /// The uplinks send what arrives on this port of theirs to the target.
    public var tunnelPort: Port
    public var transport: RelayTransport

    public init(name: String, listenPort: Port, tunnelPort: Port, transport: RelayTransport) {
        self.name = name
        self.listenPort = listenPort
        self.tunnelPort = tunnelPort
        self.transport = transport
    }

    public var `protocol`: TransportProtocol { if case .tcp = transport { .tcp } else { .udp } }

    /// Nil where the edge does nothing with TLS. Setting it of a UDP binding does nothing.
    public var tls: RelayTLS? {
        get { if case .tcp(let options) = transport { options.tls } else { nil } }
        set {
            guard case .tcp(var options) = transport else { return }
            options.tls = newValue
            transport = .tcp(options)
        }
    }

    /// Whether TLS ends at the edge with what the host has already.
    var keepsCertificate: Bool { tls.map { $0.mode != .passthrough && $0.material == nil } ?? false }

    /// Why Envoy cannot be told of it, and what it should be; nil when it can.
    public var fault: String? {
        guard isDNSLabel(name) else { return "the name is no DNS label: use a-z, 0-9 and inner hyphens" }
        switch transport {
        case .tcp(let options):
            guard options.connectTimeout.nanoseconds > 0, options.idleTimeout.nanoseconds >= 0 else {
                return "a timeout is negative, or connectTimeout is zero"
            }
            guard let tls = options.tls else { return nil }
            if tls.mode == .mutual, let material = tls.material, material.certificateAuthority == nil {
                return "mode mutual needs the CA that signs the clients' certificates"
            }
            if tls.mode == .passthrough, tls.material != nil { return "mode passthrough has no certificate" }
            return nil
        case .udp(let options):
            guard options.sessionTimeout.nanoseconds >= 0 else { return "sessionTimeout is negative" }
            // The most that IPv4 carries (RFC 768, RFC 791): 65,535 bytes less both headers.
            guard (1...65_507).contains(options.maxDatagramBytes) else { return "maxDatagramBytes is not within 1 to 65,507" }
            return nil
        }
    }
}

public enum RelayTransport: Hashable, Sendable {
    case tcp(RelayTCP)
    case udp(RelayUDP)
}

public struct RelayTCP: Hashable, Codable, Sendable {
    public var connectTimeout: GoDuration
    /// 0 never ends a silent connection.
    public var idleTimeout: GoDuration
    /// The PROXY header that each connection into the tunnel starts with; nil for none.
    public var proxyProtocol: ProxyProtocolVersion?
    /// Nil for plain TCP.
    public var tls: RelayTLS?

    public init(
        connectTimeout: GoDuration = .seconds(5), idleTimeout: GoDuration = .seconds(3600),
        proxyProtocol: ProxyProtocolVersion? = nil, tls: RelayTLS? = nil
    ) {
        self.connectTimeout = connectTimeout
        self.idleTimeout = idleTimeout
        self.proxyProtocol = proxyProtocol
        self.tls = tls
    }
}

public struct RelayUDP: Hashable, Codable, Sendable {
    /// A session ends after this long without a datagram.
    public var sessionTimeout: GoDuration
    /// 1 to 65,507. Longer datagrams are dropped.
    public var maxDatagramBytes: Int

    public init(sessionTimeout: GoDuration = .seconds(60), maxDatagramBytes: Int = 1500) {
        self.sessionTimeout = sessionTimeout
        self.maxDatagramBytes = maxDatagramBytes
    }
}

/// What the edge does with TLS.
public struct RelayTLS: Hashable, Codable, Sendable {
    public enum Mode: String, Hashable, Codable, Sendable {
        /// Routed by SNI, never decrypted.
        case passthrough
        /// Ended at the edge.
        case offload
        /// Offload, and the client must show a certificate of the material's CA.
        case mutual
    }

    public var mode: Mode
    /// SNI names, `*.` wildcards allowed; empty takes every name, and the listenPort alone.
    public var hostnames: [String]
    /// What the binding shows its clients. Nil for passthrough; otherwise nil keeps what the host has.
    public var material: TLSMaterial?

    public init(mode: Mode, hostnames: [String] = [], material: TLSMaterial? = nil) {
        self.mode = mode
        self.hostnames = hostnames
        self.material = material
    }
}
