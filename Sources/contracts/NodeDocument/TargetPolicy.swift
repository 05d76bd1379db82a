public import NetworkTypes

/// Where bindings may lead. Some addresses are nobody's to publish; the operator may add to them, or name the only ones that are.
public struct TargetPolicy: Hashable, Sendable {
    /// Never targets. It comes before `allowed`.
    public var denied: [CIDR]
    /// The only targets; empty for all that are not denied.
    public var allowed: [CIDR]

    public init(denied: [CIDR] = [], allowed: [CIDR] = []) {
        self.denied = denied
        self.allowed = allowed
    }

    /// Addresses that no policy allows (RFC 6890): this host, link-local (where clouds hand out credentials), multicast, reserved and
    /// broadcast.
    public static let never: [(network: CIDR, name: String)] = [
        (CIDR(masking: IPv4Address(number: 0), prefixLength: 8), "no host's address"),
        (CIDR(masking: IPv4Address(number: 0x7F00_0000), prefixLength: 8), "loopback"),
        (CIDR(masking: IPv4Address(number: 0xA9FE_0000), prefixLength: 16), "link-local, where clouds hand out credentials"),
        (CIDR(masking: IPv4Address(number: 0xE000_0000), prefixLength: 4), "multicast"),
        (CIDR(masking: IPv4Address(number: 0xF000_0000), prefixLength: 4), "reserved or broadcast"),
    ]

    /// TCP ports of the uplinks' own, at whatever address they are reached.
    public static let uplinkPorts: Set<Port> = [.uplinkReadiness, .envoyBridge]

    /// Why no binding may lead to `address`; nil when one may.
    /// - Parameter network: the tunnel's; nil where it is not known.
    /// - Parameter edge: the VPS's address; nil where it is none of IPv4, or not known.
    public func obstacle(
        to address: IPv4Address, _ transport: TransportProtocol, _ port: Port, network: CIDR?, edge: IPv4Address?
    ) -> String? {
        if let (_, name) = Self.never.first(where: { $0.network.contains(address) }) {
            return "\(address) is \(name); name a host"
        }
        if let network, network.contains(address) {
            return
                "\(address) lies in the tunnel's own network \(network), where Envoy's and the uplinks' inner ports are; name a "
                + "host outside it"
        }
        if address == edge {
            return
                "\(address) is the VPS itself, which would send to itself what comes to it, for ever; name a host behind the tunnel"
        }
        if transport == .tcp && Self.uplinkPorts.contains(port) {
            return "TCP port \(port) is the uplinks' own; name another port"
        }
        if let network = denied.first(where: { $0.contains(address) }) {
            return "\(address) lies in \(network), which the operator denies (--deny-target-cidrs)"
        }
        if !allowed.isEmpty, !allowed.contains(where: { $0.contains(address) }) {
            return "\(address) lies outside the networks that the operator allows (--allow-target-cidrs)"
        }
        return nil
    }

    /// The same of a host. A name says nothing of itself: what it leads to is asked for when it is known.
    /// - Parameter edge: the VPS.
    public func obstacle(to host: HostAddress, _ transport: TransportProtocol, _ port: Port, edge: HostAddress?) -> String? {
        if host == edge {
            return
                "\(host) is the VPS itself, which would send to itself what comes to it, for ever; name a host behind the tunnel"
        }
        switch host {
        case .ip(.v4(let address)): return obstacle(to: address, transport, port, network: nil, edge: edge?.ipv4)
        case .ip(.v6(let address)): return obstacle(to: address, transport, port)
        case .name:
            let isOwn = transport == .tcp && Self.uplinkPorts.contains(port)
            return isOwn ? "TCP port \(port) is the uplinks' own; name another port" : nil
        }
    }

    private func obstacle(to address: IPv6Address, _ transport: TransportProtocol, _ port: Port) -> String? {
        if let inner = address.embedded { return obstacle(to: inner, transport, port, network: nil, edge: nil) }
        if !address.isHosts { return "\(address) is loopback, link-local, multicast or reserved; name a host" }
        if transport == .tcp && Self.uplinkPorts.contains(port) {
            return "TCP port \(port) is the uplinks' own; name another port"
        }
        // The lists are of IPv4 networks: who keeps some away, or lets some through alone, has not thought of this one.
        if !allowed.isEmpty { return "\(address) is IPv6, and the operator allows networks of IPv4 alone (--allow-target-cidrs)" }
        if !denied.isEmpty { return "\(address) is IPv6, and the operator's --deny-target-cidrs cannot judge it" }
        return nil
    }
}
