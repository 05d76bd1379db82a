import EnvoyConfig
import Fixtures
import Foundation
import NetworkTypes
import NodeDocument
import TestPrograms

/// Bindings of every mode. Each listens on 8xxx, and its backend on 1xxxx.
enum Sample {
    static let relay = IPv4Address(number: 0x0AC8_0001)
    static let uplinks = (0..<3).map { ProbedUplink(ordinal: $0, address: IPv4Address(number: 0x0AC8_0002 + UInt32($0))) }

    static func configuration(_ bindings: [RelayBinding], uplinks: Int = 2, maxConnections: Int = 32768) throws
        -> EnvoyConfiguration
    {
        let key = try WireGuardPublicKey(parsing: encodeBase64([UInt8](repeating: 1, count: 32)))
        return EnvoyConfiguration(
            RelayContent(
                wireGuard: RelayWireGuard(
                    listenPort: try Port(51821), address: relay, network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420,
                    peers: Self.uplinks.prefix(uplinks).map {
                        RelayPeer(ordinal: $0.ordinal, publicKey: key, address: $0.address)
                    }),
                host: HostTuning(kernelMaxSocketBufferBytes: 0, disableNicOffloads: false),
                envoy: RelayEnvoy(
                    release: EnvoyRelease(version: "1.40.0", sha256: nil, url: nil), bridge: .readOnly,
                    probing: UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 1000, unhealthyThreshold: 2),
                    bindings: bindings, maxConnections: maxConnections, drainSeconds: 900)))
    }

    static func tcp(_ name: String, _ port: Int, to: Int, _ options: RelayTCP = RelayTCP()) throws -> RelayBinding {
        RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(to), transport: .tcp(options))
    }

    static func udp(_ name: String, _ port: Int, to: Int, _ options: RelayUDP = RelayUDP()) throws -> RelayBinding {
        RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(to), transport: .udp(options))
    }

    static func tls(
        _ name: String, _ port: Int, to: Int, _ mode: RelayTLS.Mode, _ hostnames: [String] = [], _ material: TLSMaterial? = nil
    ) throws -> RelayBinding {
        let tls = RelayTLS(mode: mode, hostnames: hostnames, material: material?.fitted(to: mode))
        return try tcp(name, port, to: to, RelayTCP(tls: tls))
    }

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
        let result = try ProgramRun(
            "/usr/bin/openssl",
            [
                "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", "\(name).key",
                "-out", "\(name).crt", "-days", "2", "-subj", "/CN=\(commonName)",
            ], in: folder.path()
        )
        guard result.status == 0 else { throw Missing(what: "a certificate: \(result.errors)") }
        return TLSMaterial(certificateChain: try text("\(name).crt"), privateKey: try text("\(name).key"))
    }

    func text(_ file: String) throws -> String {
        try String(contentsOf: folder.appending(path: file), encoding: .utf8)
    }
}
