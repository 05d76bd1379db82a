import NetworkTypes
import Sodium

/// What a former build told of Envoy: its configuration as texts. Of it that is read which cannot be got otherwise: the ports that are
/// open, and the certificates and keys that the host is to keep. A binding's options are not.
struct FormerRelayEnvoy: Decodable {
    struct Listener: Decodable {
        var `protocol`: TransportProtocol
        var port: Port
        var bindings: [String]
    }

    struct Named: Decodable { var name: String }

    struct File: Decodable {
        var name: String
        var contents: String
    }

    /// One listener a line: `NAME TCP|UDP PORT ADDRESS TEXT TEXT BINDING…`.
    struct Packed: Decodable { var listeners: [String] }

    var listeners: [Listener]
    var probes: UplinkProbing?
    var secrets: [Named]
    var tlsFiles: [File]

    private enum CodingKeys: String, CodingKey {
        case listeners, packed, probes, secrets, tlsFiles
    }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        listeners = try container.decode([Listener].self, forKey: .listeners)
        probes = try container.decodeIfPresent(UplinkProbing.self, forKey: .probes)
        secrets = try container.decode([Named].self, forKey: .secrets)
        tlsFiles = try container.decode([File].self, forKey: .tlsFiles)
        for line in try container.decodeIfPresent(Packed.self, forKey: .packed)?.listeners ?? [] {
            let words = line.split(separator: " ").map(String.init)
            guard words.count >= 6, let transport = TransportProtocol(rawValue: words[1]),
                let port = UInt16(words[2]).flatMap({ try? Port($0) })
            else {
                throw DecodingError.dataCorruptedError(
                    forKey: .packed, in: container, debugDescription: "\"\(printable(line, limit: 100))\" is no listener")
            }
            listeners.append(Listener(protocol: transport, port: port, bindings: Array(words.dropFirst(6))))
        }
    }

    func bindings() throws(SodiumError) -> [RelayBinding] {
        let secrets = Set(secrets.map(\.name))
        let files = Dictionary(tlsFiles.map { (Self.stem($0.name), $0.contents) }, uniquingKeysWith: { first, _ in first })
        var bindings: [RelayBinding] = []
        for listener in listeners {
            for name in listener.bindings {
                var tcp = RelayTCP()
                if secrets.contains(name), let chain = files["\(name).crt"], let key = files["\(name).key"] {
                    let authority = secrets.contains("\(name).ca") ? files["\(name).ca"] : nil
                    tcp.tls = RelayTLS(
                        mode: authority == nil ? .offload : .mutual,
                        material: TLSMaterial(
                            certificateChain: chain, privateKey: try SecretBytes(copying: key.utf8),
                            certificateAuthority: authority))
                }
                bindings.append(
                    RelayBinding(
                        name: name, listenPort: listener.port, tunnelPort: listener.port,
                        transport: listener.protocol == .tcp ? .tcp(tcp) : .udp(RelayUDP())))
            }
        }
        return bindings
    }

    /// `web.key` of `web-HASH.key`.
    private static func stem(_ file: String) -> String {
        guard let dot = file.lastIndex(of: "."), let dash = file[..<dot].lastIndex(of: "-") else { return file }
        return String(file[..<dash] + file[dot...])
    }
}
