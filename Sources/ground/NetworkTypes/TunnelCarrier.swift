/// What carries an EdgeNode's bindings between the VPS and an uplink.
public enum TunnelCarrier: String, Codable, Hashable, Sendable, CaseIterable {
    /// Datagrams, by the kernel where it can.
    case wireGuard = "WireGuard"
    /// A link: TLS to a TCP port of the VPS.
    case tls = "TLS"
    /// A link in a WebSocket, which passes web servers, ingresses and CDNs.
    case webSocket = "WebSocket"
    /// A link through the VPS's own sshd, for networks that let nothing else out.
    case ssh = "SSH"

    /// Whether it carries a link, which is a process's and takes no privilege.
    public var isLink: Bool { self != .wireGuard }
    /// Whether it comes by the links' own port of the VPS (`spec.tunnel.link.listenPort`).
    public var takesLinkPort: Bool { self == .tls || self == .webSocket }
}
