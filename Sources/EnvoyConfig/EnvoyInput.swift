public import EdgeAPI
public import NetworkTypes
public import NodeDocument

/// All that decides an Envoy's configuration.
///
/// The caller has settled the conflicts: binding names are unique, and bindings that share a (protocol, listenPort) have
/// disjoint host names.
public struct EnvoyInput: Hashable, Sendable {
    /// Of `wg-relay`; the bridge listens there.
    public var relayAddress: IPv4Address
    public var uplinks: [EnvoyUplink]
    public var edge: EdgeSpec
    public var release: EnvoyRelease
    public var bindings: [EnvoyBinding]

    public init(
        relayAddress: IPv4Address, uplinks: [EnvoyUplink], edge: EdgeSpec, release: EnvoyRelease, bindings: [EnvoyBinding]
    ) {
        self.relayAddress = relayAddress
        self.uplinks = uplinks
        self.edge = edge
        self.release = release
        self.bindings = bindings
    }
}

/// A replica as Envoy reaches it through the tunnel.
public struct EnvoyUplink: Hashable, Sendable {
    public var ordinal: Int
    public var address: IPv4Address

    public init(ordinal: Int, address: IPv4Address) {
        self.ordinal = ordinal
        self.address = address
    }
}

/// One binding as Envoy sees it: what it listens for, and the port by which the uplinks know it.
public struct EnvoyBinding: Hashable, Sendable {
    public let name: String
    public let listenPort: Port
    /// The uplinks send what arrives on this port to the target.
    public let tunnelPort: Port
    public let transport: Transport
    /// Nil unless TLS ends at the edge.
    public let certificate: EnvoyCertificate?

    /// - Throws: `EnvoyConfigError` when `name` is no DNS label, or `certificate` lacks what the TLS mode needs.
    public init(
        name: String, listenPort: Port, tunnelPort: Port, transport: Transport, certificate: EnvoyCertificate? = nil
    ) throws(EnvoyConfigError) {
        guard isDNSLabel(name) else {
            throw EnvoyConfigError(binding: name, reason: "the name is no DNS label: use a-z, 0-9 and inner hyphens")
        }
        if case .tcp(let options) = transport, let mode = options.tls?.mode {
            switch (mode, certificate) {
            case (.passthrough, _): break
            case (.offload, nil), (.mutual, nil):
                throw EnvoyConfigError(binding: name, reason: "mode \(mode.name) needs a certificate and its key")
            case (.mutual, .given(let material)) where material.certificateAuthority == nil:
                throw EnvoyConfigError(binding: name, reason: "mode mutual needs the CA that signs the clients' certificates")
            case (.offload, _), (.mutual, _): break
            }
        }
        self.name = name
        self.listenPort = listenPort
        self.tunnelPort = tunnelPort
        self.transport = transport
        self.certificate = certificate
    }

    var tls: TLSOptions? { if case .tcp(let options) = transport { options.tls } else { nil } }
    var `protocol`: TransportProtocol { if case .tcp = transport { .tcp } else { .udp } }
}

/// What a binding shows its clients.
public enum EnvoyCertificate: Hashable, Sendable {
    case given(TLSMaterial)
    /// What the host has of it already.
    case kept
}

/// A certificate as PEM text. Printing it shows no key.
public struct TLSMaterial: Hashable, Sendable, CustomStringConvertible, CustomReflectable {
    /// The leaf first, then its intermediates.
    public var certificateChain: String
    public var privateKey: String
    /// What the clients' certificates are checked against; mode mutual alone needs it.
    public var certificateAuthority: String?

    public init(certificateChain: String, privateKey: String, certificateAuthority: String? = nil) {
        self.certificateChain = certificateChain
        self.privateKey = privateKey
        self.certificateAuthority = certificateAuthority
    }

    public var description: String { "TLSMaterial(\(certificateChain.utf8.count) bytes of certificates, key hidden)" }
    public var customMirror: Mirror { Mirror(self, children: []) }
}

/// A binding that no Envoy configuration can be written for.
public struct EnvoyConfigError: Error, Hashable, Sendable, CustomStringConvertible {
    public let binding: String
    /// What is wrong and what it should be.
    public let reason: String

    public var description: String { "binding \"\(printable(binding))\" cannot be written as Envoy configuration: \(reason)" }
}
