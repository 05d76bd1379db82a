public import Documents
public import EdgeAPI
import JSON
import NetworkTypes
import NodeDocument
public import RemoteDocuments
public import Sodium

/// What a RemoteService's halves know each other by: made once, and kept in the gateway's Secret.
public struct RemoteSecrets: Sendable, Equatable {
    /// The gateway's.
    public let gatewayKey: LinkPrivateKey
    /// The remote's. The gateway is told its pin alone, and its Secret keeps it for the join Secret.
    public let remoteKey: LinkPrivateKey
    /// Of clients of wstunnel and rathole.
    public let password: String
    /// Where WebSockets of links are taken.
    public let path: String

    /// The Secret's key of the remote's key, which the gateway's pod does not mount.
    public static let remoteKeyName = "remote-key"

    public static func generate() throws(SodiumError) -> RemoteSecrets {
        RemoteSecrets(
            gatewayKey: try .generate(), remoteKey: try .generate(), password: try word(), path: "/" + (try word()))
    }

    /// 32 hexadecimal digits.
    private static func word() throws(SodiumError) -> String {
        let bytes = try SecretBytes.random(count: 16)
        return bytes.withUnsafeBytes { $0.map { byte in String(byte >> 4, radix: 16) + String(byte & 15, radix: 16) }.joined() }
    }

    private init(gatewayKey: LinkPrivateKey, remoteKey: LinkPrivateKey, password: String, path: String) {
        self.gatewayKey = gatewayKey
        self.remoteKey = remoteKey
        self.password = password
        self.path = path
    }

    /// Of the Secret as the API server has it; nil where a part is missing or none.
    public init?(of secret: FieldNode) {
        func bytes(_ name: String) -> [UInt8]? { secret["data"]?[name]?.text.flatMap { decodeBase64($0) } }
        func key(_ name: String) -> LinkPrivateKey? {
            guard var seed = bytes(name), let secret = try? SecretBytes(consuming: &seed) else { return nil }
            return LinkPrivateKey(secret: secret)
        }
        func word(_ name: String) -> String? {
            bytes(name).flatMap { word in
                word.count >= 16 && word.count <= 256 && word.allSatisfy { (0x21...0x7E).contains($0) }
                    ? String(decoding: word, as: UTF8.self) : nil
            }
        }
        guard let gatewayKey = key(GatewayDocument.keyName), let remoteKey = key(Self.remoteKeyName),
            let password = word(GatewayDocument.passwordName), let path = word(GatewayDocument.pathName), path.hasPrefix("/")
        else { return nil }
        self.init(gatewayKey: gatewayKey, remoteKey: remoteKey, password: password, path: path)
    }

    /// The `data` of the gateway's Secret.
    func data(with document: GatewayDocument) throws(DocumentError) -> FieldValue {
        func base64(_ key: LinkPrivateKey) -> FieldValue { .string(key.secret.withUnsafeBytes { encodeBase64($0) }) }
        return [
            GatewayDocument.fileName: .string(encodeBase64(try DocumentJSON.encode(document))),
            GatewayDocument.keyName: base64(gatewayKey), Self.remoteKeyName: base64(remoteKey),
            GatewayDocument.passwordName: .string(encodeBase64(Array(password.utf8))),
            GatewayDocument.pathName: .string(encodeBase64(Array(path.utf8))),
        ]
    }
}

extension RemoteService {
    /// What its gateway serves.
    public func gatewayDocument(_ secrets: RemoteSecrets) throws(SodiumError) -> GatewayDocument {
        var document = GatewayDocument(
            service: metadata.objectName.description, ports: spec.ports, clients: spec.clients, pin: secrets.remoteKey.pin,
            forwards: spec.gateway.forwards.isEmpty ? nil : spec.gateway.forwards)
        if let mesh = spec.mesh {
            document.mesh = MeshTerms(
                peer: try WireGuardPrivateKey(of: secrets.remoteKey).publicKey(), network: mesh.network,
                clusterCIDRs: mesh.clusterCIDRs, mtu: mesh.mtu)
        }
        return document
    }
}
