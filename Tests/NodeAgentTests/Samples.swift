import NetworkTypes
import NodeDocument
import Sodium

/// A document with one TCP and one UDP binding.
func sampleDocument(
    epoch: UInt64 = 1, writer: String? = nil, owner: String = "edge", version: String = "1.40.0", sha256: SHA256Digest? = nil,
    listeners: [EnvoyListener]? = nil,
    clusters: [String] = ["web", "dns"], secret: String = #"{"name":"web"}"#, restart: String? = nil, build: String = "build1"
) throws -> RelayDocument {
    let relay = try IPv4Address(parsing: "10.200.0.1")
    let key = try publicKey(of: 7)
    let envoy = EnvoyDocument(
        release: EnvoyRelease(version: version, sha256: sha256, url: nil), bootstrap: #"{"node":{"id":"tidegate"}}"#,
        listeners: try listeners ?? [sampleListener("tcp-443", 443, "web"), sampleListener("udp-53", 53, "dns", .udp)],
        clusters: clusters.map { EnvoyResource(name: $0, json: #"{"name":"\#($0)"}"#) },
        probes: UplinkProbes(
            intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2,
            uplinks: [ProbedUplink(ordinal: 0, address: try IPv4Address(parsing: "10.200.0.2"))],
            tunnelPorts: Dictionary(uniqueKeysWithValues: try clusters.enumerated().map { ($1, try Port(20000 + $0)) })),
        secrets: [EnvoyResource(name: "web", json: secret)],
        tlsFiles: [TLSFile(name: "web-0a.key", contents: "KEY\n")],
        maxConnections: 1000, drainSeconds: 5)
    let content = RelayContent(
        wireGuard: RelayWireGuard(
            listenPort: try Port(51821), address: relay, network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420,
            peers: [RelayPeer(ordinal: 0, publicKey: key, address: try IPv4Address(parsing: "10.200.0.2"))]),
        host: HostTuning(kernelMaxSocketBufferBytes: 26_214_400, disableNicOffloads: false), envoy: envoy)
    return RelayDocument(
        agentBuild: build, owner: Owner(installation: "i", namespace: "default", name: owner), epoch: epoch,
        writer: writer, hash: try content.digest(),
        content: content, restartEnvoy: restart)
}

func sampleListener(
    _ name: String, _ port: Int, _ binding: String, _ transport: TransportProtocol = .tcp, address: IPv4Address? = nil
) throws -> EnvoyListener {
    EnvoyListener(
        name: name, protocol: transport, port: try Port(port), address: address, bindings: [binding],
        json: #"{"name":"\#(name)","filter_chains":[{"name":"\#(binding)"}]}"#)
}

func publicKey(of byte: UInt8) throws -> WireGuardPublicKey {
    try WireGuardPublicKey(parsing: encodeBase64([UInt8](repeating: byte, count: 32)))
}
