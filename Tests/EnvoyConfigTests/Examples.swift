import EdgeAPI
import EnvoyConfig
import NetworkTypes
import NodeDocument
import Sodium

enum Example {
    static let release = EnvoyRelease(
        version: "1.40.0", sha256: SHA256.digest(of: "envoy"), url: "https://downloads.example/envoy-1.40.0")
    static let material = TLSMaterial(certificateChain: "chain\n", privateKey: "key\n", certificateAuthority: "ca\n")
    static let secret = NamespacedReference(name: "web-tls")

    static func input(_ bindings: [EnvoyBinding], uplinks: [Int] = [0, 1], edge: EdgeSpec = EdgeSpec()) -> EnvoyInput {
        EnvoyInput(
            relayAddress: IPv4Address(number: 0x0AC8_0001),
            uplinks: uplinks.map { EnvoyUplink(ordinal: $0, address: IPv4Address(number: 0x0AC8_0002 + UInt32($0))) }, edge: edge,
            release: release, bindings: bindings)
    }

    static func tcp(_ name: String, _ port: Int, _ options: TCPOptions = TCPOptions(), tunnelPort: Int? = nil) throws
        -> EnvoyBinding
    {
        try EnvoyBinding(
            name: name, listenPort: Port(port), tunnelPort: Port(tunnelPort ?? port), transport: .tcp(options),
            certificate: options.tls?.mode.secretRef == nil ? nil : .given(material))
    }

    static func udp(_ name: String, _ port: Int, _ options: UDPOptions = UDPOptions()) throws -> EnvoyBinding {
        try EnvoyBinding(name: name, listenPort: Port(port), tunnelPort: Port(port), transport: .udp(options))
    }

    static func tls(_ name: String, _ port: Int, _ mode: TLSOptions.Mode, _ hostnames: [String] = [], tunnelPort: Int? = nil)
        throws -> EnvoyBinding
    {
        try tcp(name, port, TCPOptions(tls: TLSOptions(mode: mode, hostnames: hostnames)), tunnelPort: tunnelPort)
    }

    /// The documents that the goldens hold, by name.
    static func documents() throws -> [String: EnvoyDocument] {
        let slow = GoDuration(nanoseconds: 1_500_000_000)
        return [
            "relay": renderEnvoy(input([])),
            "tcp": renderEnvoy(
                input([
                    try tcp("http", 80), try tcp("ssh", 2222, TCPOptions(connectTimeout: slow, idleTimeout: .seconds(0))),
                ])),
            "proxy-protocol": renderEnvoy(
                input(
                    [
                        try tcp("mail", 25, TCPOptions(proxyProtocol: .v1)), try tcp("web", 443, TCPOptions(proxyProtocol: .v2)),
                    ], uplinks: [0],
                    edge: EdgeSpec(
                        healthCheck: HealthCheckSpec(
                            interval: GoDuration(nanoseconds: 500_000_000), timeout: .seconds(1), healthyThreshold: 3,
                            unhealthyThreshold: 4), maxConnections: 100))),
            "udp": renderEnvoy(
                input([
                    try udp("dns", 53), try udp("game", 27015, UDPOptions(sessionTimeout: .seconds(300), maxDatagramBytes: 9000)),
                ])),
            "tls-alone": renderEnvoy(
                input(
                    [
                        try tls("offload", 9443, .offload(secret)), try tls("mutual", 9444, .mutual(secret)),
                        try tls("passthrough", 8443, .passthrough),
                    ], uplinks: [0])),
            "tls-by-name": renderEnvoy(
                input(
                    [
                        try tls("shop", 443, .passthrough, ["shop.example.org", "*.shop.example.org"], tunnelPort: 20001),
                        try tls("blog", 443, .offload(secret), ["blog.example.org"], tunnelPort: 20002),
                        try tls("api", 443, .mutual(secret), ["api.example.org"], tunnelPort: 20003),
                    ], uplinks: [0])),
        ]
    }
}
