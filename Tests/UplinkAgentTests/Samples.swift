import NetworkTypes
import NodeDocument
import Sodium

@testable import UplinkAgent

/// A document of one replica with these bindings, each to a target of its own.
func sampleContent(_ key: WireGuardPublicKey, host: String = "relay.example", forwards: [Forward] = []) throws -> UplinkContent {
    UplinkContent(
        relay: UplinkRelay(
            publicKey: key, host: try HostAddress(parsing: host), port: try Port(51821),
            address: try IPv4Address(parsing: "10.200.0.1")),
        network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
        replicas: [UplinkReplica(ordinal: 0, address: try IPv4Address(parsing: "10.200.0.2"), publicKey: key)], forwards: forwards
    )
}

func sampleLink(
    _ carriers: [TunnelCarrier], url: String? = nil, connections: Int = 2, ssh: SSHWay? = nil
) throws -> UplinkLink {
    UplinkLink(
        carriers: carriers, pin: SHA256.digest(of: "edge"), host: try HostAddress(parsing: "203.0.113.10"), port: try Port(443),
        hostname: "a.invalid", path: "/secret", url: url, connections: connections, ssh: ssh)
}

func sampleDocument(_ content: UplinkContent) throws -> UplinkDocument {
    UplinkDocument(
        owner: Owner(installation: "i", namespace: "default", name: "edge"), hash: try content.digest(), content: content)
}

func sampleForward(_ name: String, _ transport: TransportProtocol, _ port: Int, to target: String = "10.96.0.1") throws -> Forward
{
    Forward(
        binding: name, protocol: transport, tunnelPort: try Port(port), target: try IPv4Address(parsing: target),
        targetPort: try Port(port))
}

extension ProbeTarget {
    /// Of a forward to one target.
    init(_ forward: Forward) { self.init(forward.protocol, Endpoint(address: forward.target, port: forward.targetPort)) }
}
