import EnvoyConfig
import Fixtures
import NetworkTypes
import NodeDocument
import Sodium

@testable import NodeAgent

/// A document with one TCP binding, `web`, whose TLS ends at the edge with `key`, and one UDP binding, `dns`.
func sampleDocument(
    epoch: UInt64 = 1, writer: String? = nil, owner: String = "edge", version: String = "1.40.0", sha256: SHA256Digest? = nil,
    key: String? = "KEY\n", more: [RelayBinding] = [], restart: String? = nil, build: String = "build1"
) throws -> RelayDocument {
    let relay = try IPv4Address(parsing: "10.200.0.1")
    let envoy = RelayEnvoy(
        release: EnvoyRelease(version: version, sha256: sha256, url: nil), bridge: .off,
        probing: UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2),
        bindings: [try sampleBinding("web", 443, tls: sampleTLS(key: key)), try sampleBinding("dns", 53, .udp)] + more,
        maxConnections: 1000, drainSeconds: 5)
    let content = RelayContent(
        wireGuard: RelayWireGuard(
            listenPort: try Port(51821), address: relay, network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420,
            peers: [
                RelayPeer(ordinal: 0, publicKey: try publicKey(of: 7), address: try IPv4Address(parsing: "10.200.0.2"))
            ]),
        host: HostTuning(kernelMaxSocketBufferBytes: 26_214_400, disableNicOffloads: false), envoy: envoy)
    return RelayDocument(
        agentBuild: build, owner: Owner(installation: "i", namespace: "default", name: owner), epoch: epoch,
        writer: writer, hash: try content.digest(),
        content: content, restartEnvoy: restart)
}

/// - Parameter key: nil keeps what the host has.
func sampleTLS(key: String?, _ hostnames: [String] = []) -> RelayTLS {
    RelayTLS(
        mode: .offload, hostnames: hostnames, material: key.map { TLSMaterial(certificateChain: "CERTIFICATE\n", privateKey: $0) }
    )
}

func sampleBinding(
    _ name: String, _ port: Int, _ transport: TransportProtocol = .tcp, tls: RelayTLS? = nil
) throws -> RelayBinding {
    RelayBinding(
        name: name, listenPort: try Port(port), tunnelPort: try Port(port),
        transport: transport == .tcp ? .tcp(RelayTCP(tls: tls)) : .udp(RelayUDP()))
}

extension RelayDocument {
    /// The file of that key, below Envoy's folder.
    func keyFile(of binding: String = "web") throws -> String {
        let configuration = EnvoyConfiguration(content)
        let files = configuration.binding(binding).map(configuration.secrets)?.flatMap(\.files) ?? []
        guard let file = files.first(where: { $0.name.hasSuffix(".key") }) else { throw NoSuchKey(binding: binding) }
        return "tls/\(file.name)"
    }
}

struct NoSuchKey: Error { let binding: String }

func publicKey(of byte: UInt8) throws -> WireGuardPublicKey {
    try WireGuardPublicKey(parsing: encodeBase64([UInt8](repeating: byte, count: 32)))
}
