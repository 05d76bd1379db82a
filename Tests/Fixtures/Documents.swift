public import NetworkTypes
public import NodeDocument
import Sodium

/// The key of that number: 32 times the same byte; nobody's real one.
public func publicKey(_ number: UInt8) throws -> WireGuardPublicKey {
    guard let key = WireGuardPublicKey(bytes: [UInt8](repeating: number, count: 32)) else {
        throw InvalidValue(expected: "key", given: "\(number)", reason: "32 bytes")
    }
    return key
}

/// A relay document that uses every field.
public func fullRelayDocument() throws -> RelayDocument {
    let network = try CIDR(parsing: "10.200.0.0/24")
    let content = RelayContent(
        wireGuard: RelayWireGuard(
            listenPort: try Port(51821), address: try IPv4Address(parsing: "10.200.0.1"), network: network, mtu: 1420,
            peers: [RelayPeer(ordinal: 0, publicKey: try publicKey(1), address: try IPv4Address(parsing: "10.200.0.2"))]),
        host: HostTuning(kernelMaxSocketBufferBytes: 26_214_400, disableNicOffloads: true),
        envoy: RelayEnvoy(
            release: EnvoyRelease(version: "1.40.0", sha256: SHA256.digest(of: "envoy"), url: "https://example.com/envoy"),
            bridge: .metrics,
            probing: UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2),
            bindings: [
                RelayBinding(
                    name: "web", listenPort: try Port(443), tunnelPort: try Port(20443),
                    transport: .tcp(
                        RelayTCP(
                            connectTimeout: .seconds(3), idleTimeout: .seconds(0), proxyProtocol: .v2,
                            tls: RelayTLS(
                                mode: .mutual, hostnames: ["a.example", "*.b.example"],
                                material: TLSMaterial(
                                    certificateChain: "CRT\n", privateKey: "KEY\n", certificateAuthority: "CA\n"))))),
                RelayBinding(
                    name: "dns", listenPort: try Port(53), tunnelPort: try Port(53),
                    transport: .udp(RelayUDP(sessionTimeout: .seconds(5), maxDatagramBytes: 9000))),
            ],
            maxConnections: 32768, drainSeconds: 900))
    return RelayDocument(
        agentBuild: "b1", owner: Owner(installation: "i", namespace: "default", name: "edge-node"), epoch: .max,
        hash: try content.digest(),
        content: content, restartEnvoy: "true/7")
}

/// An uplinks' document that uses every field.
public func fullUplinkDocument() throws -> UplinkDocument {
    let content = UplinkContent(
        relay: UplinkRelay(
            publicKey: try publicKey(9), host: try HostAddress(parsing: "vps.example.com"), port: try Port(51821),
            address: try IPv4Address(parsing: "10.200.0.1")),
        network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
        replicas: [UplinkReplica(ordinal: 0, address: try IPv4Address(parsing: "10.200.0.2"), publicKey: try publicKey(1))],
        forwards: [
            Forward(
                binding: "web", protocol: .tcp, tunnelPort: try Port(443), target: try IPv4Address(parsing: "10.96.0.10"),
                targetPort: try Port(8443))
        ])
    return UplinkDocument(
        owner: Owner(installation: "i", namespace: "default", name: "edge-node"), hash: try content.digest(), content: content)
}

/// An agent's report that uses every field.
public func fullAgentReport() throws -> AgentReport {
    AgentReport(
        outcome: .applied, agentBuild: "b1", hash: SHA256.digest(of: "r"), epoch: 3, changes: ["wrote lds.json"],
        drift: ["wg-relay was gone"],
        problems: [AgentProblem(kind: .diskFull, message: "m")], relayPublicKey: try publicKey(9), wireGuardKind: "kernel",
        envoyVersion: "1.40.0",
        listeners: [
            ListenerReport(name: "tcp-443", state: .active),
            ListenerReport(name: "udp-53", state: .portInUse, message: "named holds it"),
        ],
        peers: [
            PeerReport(
                ordinal: 0, publicKey: try publicKey(1), handshakeAge: 12, receivedBytes: .max, sentBytes: 1,
                uplink: UplinkReport(
                    ordinal: 0, hash: SHA256.digest(of: "u"), ready: true, reason: nil, handshakeAge: nil, receivedBytes: 0,
                    sentBytes: 0,
                    wireGuardKind: "userspace",
                    targets: [
                        TargetReport(binding: "web", reachable: false, message: "connection refused"),
                        TargetReport(binding: "dns", reachable: nil),
                    ]))
        ])
}
