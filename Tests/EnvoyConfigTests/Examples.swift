import EnvoyConfig
import Fixtures
import NetworkTypes
import NodeDocument
import Sodium

enum Example {
    static let release = EnvoyRelease(
        version: "1.40.0", sha256: SHA256.digest(of: "envoy"), url: "https://downloads.example/envoy-1.40.0")
    static let material = TLSMaterial(certificateChain: "chain\n", privateKey: "key\n", certificateAuthority: "ca\n")

    static func content(
        _ bindings: [RelayBinding], uplinks: [Int] = [0, 1], bridge: BridgeAccess = .readOnly,
        probing: UplinkProbing = UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2),
        maxConnections: Int = 32768
    ) throws -> RelayContent {
        let key = try WireGuardPublicKey(parsing: encodeBase64([UInt8](repeating: 1, count: 32)))
        return RelayContent(
            wireGuard: RelayWireGuard(
                listenPort: try Port(51821), address: IPv4Address(number: 0x0AC8_0001),
                network: try CIDR(parsing: "10.200.0.0/24"),
                mtu: 1420,
                peers: uplinks.map {
                    RelayPeer(ordinal: $0, publicKey: key, address: IPv4Address(number: 0x0AC8_0002 + UInt32($0)))
                }),
            host: HostTuning(kernelMaxSocketBufferBytes: 0, disableNicOffloads: false),
            envoy: RelayEnvoy(
                release: release, bridge: bridge, probing: probing, bindings: bindings, maxConnections: maxConnections,
                drainSeconds: 900))
    }

    static func configuration(_ bindings: [RelayBinding], uplinks: [Int] = [0, 1]) throws -> EnvoyConfiguration {
        EnvoyConfiguration(try content(bindings, uplinks: uplinks))
    }

    static func tcp(_ name: String, _ port: Int, _ options: RelayTCP = RelayTCP(), tunnelPort: Int? = nil) throws -> RelayBinding
    {
        RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(tunnelPort ?? port), transport: .tcp(options))
    }

    static func udp(_ name: String, _ port: Int, _ options: RelayUDP = RelayUDP()) throws -> RelayBinding {
        RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(port), transport: .udp(options))
    }

    static func tls(_ name: String, _ port: Int, _ mode: RelayTLS.Mode, _ hostnames: [String] = [], tunnelPort: Int? = nil) throws
        -> RelayBinding
    {
        let tls = RelayTLS(mode: mode, hostnames: hostnames, material: material.fitted(to: mode))
        return try tcp(name, port, RelayTCP(tls: tls), tunnelPort: tunnelPort)
    }

    private static func links(_ outerTLS: RelayTLS? = nil) throws -> EnvoyConfiguration {
        var content = try content([try tls("web", 443, .passthrough, ["web.example.org"], tunnelPort: 20001)], uplinks: [0])
        content.link = RelayLink(
            carriers: [.wireGuard, .tls, .webSocket], listenPort: try Port(443), hostname: "link.example.org", path: "/link",
            uplinks: [
                LinkedUplink(ordinal: 0, address: LinkedUplink.address(ofOrdinal: 0), pin: SHA256.digest(of: "0"))
            ], outerTLS: outerTLS)
        return EnvoyConfiguration(content)
    }

    /// The configurations that the goldens hold, by name.
    static func configurations() throws -> [String: EnvoyConfiguration] {
        let slow = GoDuration(nanoseconds: 1_500_000_000)
        return [
            "relay": try configuration([], uplinks: []),
            "tcp": try configuration([
                try tcp("http", 80), try tcp("ssh", 2222, RelayTCP(connectTimeout: slow, idleTimeout: .seconds(0))),
            ]),
            "proxy-protocol": EnvoyConfiguration(
                try content(
                    [try tcp("mail", 25, RelayTCP(proxyProtocol: .v1)), try tcp("web", 443, RelayTCP(proxyProtocol: .v2))],
                    uplinks: [0],
                    probing: UplinkProbing(intervalMilliseconds: 500, timeoutMilliseconds: 1000, unhealthyThreshold: 4),
                    maxConnections: 100)),
            "links": try links(),
            "links-own-certificate": try links(RelayTLS(mode: .mutual, material: material)),
            "udp": try configuration([
                try udp("dns", 53), try udp("game", 27015, RelayUDP(sessionTimeout: .seconds(300), maxDatagramBytes: 9000)),
            ]),
            "tls-alone": try configuration(
                [
                    try tls("offload", 9443, .offload), try tls("mutual", 9444, .mutual),
                    try tls("passthrough", 8443, .passthrough),
                ], uplinks: [0]),
            "tls-by-name": try configuration(
                [
                    try tls("shop", 443, .passthrough, ["shop.example.org", "*.shop.example.org"], tunnelPort: 20001),
                    try tls("blog", 443, .offload, ["blog.example.org"], tunnelPort: 20002),
                    try tls("api", 443, .mutual, ["api.example.org"], tunnelPort: 20003),
                ], uplinks: [0]),
        ]
    }
}
