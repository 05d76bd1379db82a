import EdgeAPI
import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument

/// Bindings of every mode. Each listens on 8xxx, and its backend on 1xxxx.
enum Sample {
    static let relay = IPv4Address(number: 0x0AC8_0001)
    static let uplinks = (0..<3).map { EnvoyUplink(ordinal: $0, address: IPv4Address(number: 0x0AC8_0002 + UInt32($0))) }

    static func document(
        _ bindings: [EnvoyBinding], uplinks: Int = 2, healthCheck: HealthCheckSpec = quickCheck, maxConnections: Int = 32768
    ) -> EnvoyDocument {
        renderEnvoy(
            EnvoyInput(
                relayAddress: relay, uplinks: Array(Self.uplinks.prefix(uplinks)),
                edge: EdgeSpec(healthCheck: healthCheck, maxConnections: maxConnections),
                release: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil), bindings: bindings))
    }

    static let quickCheck = HealthCheckSpec(interval: .seconds(1), timeout: .seconds(1))

    static func tcp(_ name: String, _ port: Int, to: Int, _ options: TCPOptions = TCPOptions()) throws -> EnvoyBinding {
        try EnvoyBinding(name: name, listenPort: Port(port), tunnelPort: Port(to), transport: .tcp(options))
    }

    static func udp(_ name: String, _ port: Int, to: Int, _ options: UDPOptions = UDPOptions()) throws -> EnvoyBinding {
        try EnvoyBinding(name: name, listenPort: Port(port), tunnelPort: Port(to), transport: .udp(options))
    }

    static func tls(
        _ name: String, _ port: Int, to: Int, _ mode: TLSOptions.Mode, _ hostnames: [String] = [], _ material: TLSMaterial? = nil
    ) throws -> EnvoyBinding {
        try EnvoyBinding(
            name: name, listenPort: Port(port), tunnelPort: Port(to),
            transport: .tcp(TCPOptions(tls: TLSOptions(mode: mode, hostnames: hostnames))),
            certificate: material.map { .given($0) })
    }

    static let secret = NamespacedReference(name: "tls")
    static var backendPorts: [String: Any] {
        [
            "tcp": [18080, 18081, 18082, 18443, 18090], "udp": [18053, 18054], "tls": [String: Any](),
        ]
    }
}

/// Certificates made by openssl in a folder of their own.
struct CertificateFolder {
    let folder: URL

    init(in stage: Stage) throws {
        folder = stage.root.appending(path: "certificates")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    var path: String { folder.path() }

    /// A self-signed certificate, its subject `CN = commonName`.
    func make(_ name: String, commonName: String) throws -> TLSMaterial {
        let result = try Command(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "\(name).key",
                "-out", "\(name).crt", "-days", "2", "-subj", "/CN=\(commonName)",
            ], in: folder
        ).run()
        guard result.status == 0 else { throw Missing(what: "a certificate: \(result.error)") }
        return TLSMaterial(certificateChain: try text("\(name).crt"), privateKey: try text("\(name).key"))
    }

    func text(_ file: String) throws -> String {
        try String(contentsOf: folder.appending(path: file), encoding: .utf8)
    }
}
