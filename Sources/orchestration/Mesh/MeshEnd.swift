import NFTables
import NetlinkMessages
public import NetworkTypes
public import RemoteDocuments
public import Sodium
import WireGuardNetlink

/// What one end of a mesh is on its host. The packets of its WireGuard travel in the links: each end sends them to a socket of this host, and
/// gets them from one.
public struct MeshEnd: Sendable {
    /// Short enough for the kernel (`IFNAMSIZ`).
    static let interface = "tidegate-mesh"
    /// Seconds. The gateway's tell the remote where to answer after links came anew; the remote's tell the gateway that it is there.
    static let keepalive: UInt16 = 2

    let address: IPPrefix
    let routes: [CIDR]
    let mtu: UInt32
    private(set) var wireGuard: WireGuardDeviceConfiguration
    let rules: MeshRuleset
    /// Whether it carries packets of others.
    let forwards: Bool

    /// The end in the cluster, in a network namespace of its own.
    /// - Parameter ports: those that the gateway listens at itself; all others lead to the remote.
    public static func gateway(_ terms: MeshTerms, key: LinkPrivateKey, ports: [RemotePort.Key]) throws -> MeshEnd {
        let own = ports + [.init(.udp, .mesh)]
        return try MeshEnd(
            terms, at: terms.gatewayAddress, routes: [], key: key, listenPort: .mesh,
            peer: WireGuardPeerConfiguration(
                publicKey: terms.peer, endpoint: WireGuardEndpoint(address: .v4(loopback), port: .meshDoor),
                persistentKeepalive: keepalive, allowedIPs: [try IPPrefix(.v4(terms.remoteAddress), length: 32)]),
            end: .gateway(remote: terms.remoteAddress, own: own, networks: terms.clusterCIDRs), forwards: true)
    }

    /// The end outside of it.
    /// - Parameters:
    ///   - terms: as the gateway told them; those of its networks that lie within one that this host is in itself are left out.
    ///   - ports: the only ones that the cluster reaches here; nil for all.
    public static func remote(_ terms: MeshTerms, key: LinkPrivateKey, ports: Set<Port>?) throws -> MeshEnd {
        let reached = [try IPPrefix(.v4(terms.gatewayAddress), length: 32)] + terms.clusterCIDRs.map { IPPrefix($0) }
        return try MeshEnd(
            terms, at: terms.remoteAddress, routes: terms.clusterCIDRs, key: key, listenPort: nil,
            peer: WireGuardPeerConfiguration(
                publicKey: terms.peer, persistentKeepalive: keepalive, allowedIPs: Array(Set(reached))),
            end: .remote(
                ports: ports.map { ports in
                    ports.sorted().flatMap { port in [RemotePort.Key(.tcp, port), RemotePort.Key(.udp, port)] }
                }), forwards: false)
    }

    private init(
        _ terms: MeshTerms, at address: IPv4Address, routes: [CIDR], key: LinkPrivateKey, listenPort: Port?,
        peer: WireGuardPeerConfiguration, end: MeshRuleset.End, forwards: Bool
    ) throws {
        self.address = try IPPrefix(.v4(address), length: terms.network.prefixLength)
        self.routes = routes
        mtu = UInt32(terms.mtu)
        wireGuard = WireGuardDeviceConfiguration(
            privateKey: try WireGuardPrivateKey(of: key), listenPort: listenPort, peers: [peer])
        rules = MeshRuleset(interface: Self.interface, end: end)
        self.forwards = forwards
    }

    /// At this port, where any would do.
    func listening(at port: Port?) -> MeshEnd {
        var end = self
        end.wireGuard.listenPort = wireGuard.listenPort ?? port
        return end
    }

    private static let loopback = IPv4Address(number: 0x7F00_0001)
}
