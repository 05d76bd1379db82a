import CLibsodium
import NIOSSL
public import Sodium

/// The key by which one end of a link is known: Ed25519 (RFC 8032), kept as its seed. Each end makes its own and shows the other its
/// pin; nobody signs for anybody.
public struct LinkPrivateKey: Sendable, Equatable, CustomStringConvertible {
    /// Bytes of a seed.
    public static let size = 32

    /// The seed.
    public let secret: SecretBytes

    public static func generate() throws(SodiumError) -> LinkPrivateKey {
        LinkPrivateKey(checked: try SecretBytes.random(count: size))
    }

    /// Nil when the secret has not the size of a seed.
    public init?(secret: SecretBytes) {
        guard secret.count == Self.size else { return nil }
        self.secret = secret
    }

    private init(checked secret: SecretBytes) { self.secret = secret }

    /// What the other end is told: the SHA-256 of the public key as certificates hold it.
    public var pin: SHA256Digest { SHA256.digest(of: Self.publicKeyInfo(publicKey)) }

    public var description: String { "<link private key>" }

    /// 32 bytes.
    var publicKey: [UInt8] { withKeyPair { publicKey, _ in publicKey } }

    /// An Ed25519 signature, 64 bytes.
    func signature(of message: [UInt8]) -> [UInt8] {
        withKeyPair { _, secretKey in
            var signature = [UInt8](repeating: 0, count: Int(crypto_sign_BYTES))
            crypto_sign_detached(&signature, nil, message, UInt64(message.count), secretKey)
            return signature
        }
    }

    private func withKeyPair<Result>(_ body: (_ publicKey: [UInt8], _ secretKey: [UInt8]) -> Result) -> Result {
        var publicKey = [UInt8](repeating: 0, count: Int(crypto_sign_PUBLICKEYBYTES))
        var secretKey = [UInt8](repeating: 0, count: Int(crypto_sign_SECRETKEYBYTES))
        defer { zero(&secretKey) }
        secret.withUnsafePointer { seed in _ = crypto_sign_seed_keypair(&publicKey, &secretKey, seed) }
        return body(publicKey, secretKey)
    }

    /// SubjectPublicKeyInfo of an Ed25519 key (RFC 8410, section 4).
    static func publicKeyInfo(_ publicKey: [UInt8]) -> [UInt8] {
        DER.sequence(DER.ed25519 + DER.tagged(0x03, [0] + publicKey))
    }

    /// The key as the TLS library takes it: PKCS #8 (RFC 8410, section 7), zeroed again.
    func tlsKey() throws(LinkCarrierError) -> NIOSSLPrivateKey {
        var bytes = secret.withUnsafeBytes { seed in
            DER.sequence([0x02, 1, 0] + DER.ed25519 + DER.tagged(0x04, DER.tagged(0x04, Array(seed))))
        }
        defer { zero(&bytes) }
        do {
            return try NIOSSLPrivateKey(bytes: bytes, format: .der)
        } catch {
            throw LinkCarrierError(.key, cause: "\(error)")
        }
    }

    /// A certificate that this key signed for itself. Who is pinned by key reads nothing of it but the key: the name says nothing,
    /// and it is valid for as long as certificates can be, whatever the other side's clock says.
    func certificate() throws(LinkCarrierError) -> NIOSSLCertificate {
        // commonName, 2.5.4.3
        let name = DER.sequence(DER.tagged(0x31, DER.sequence([0x06, 3, 0x55, 4, 3] + DER.tagged(0x0C, Array("link".utf8)))))
        // RFC 5280, section 4.1.2.5: the last moment stands for no end.
        let validity = DER.sequence(
            DER.tagged(0x17, Array("700101000000Z".utf8)) + DER.tagged(0x18, Array("99991231235959Z".utf8)))
        let version: [UInt8] = [0xA0, 3, 0x02, 1, 2]
        let serial: [UInt8] = [0x02, 1, 1]
        let content = DER.sequence(
            version + serial + DER.ed25519 + name + validity + name + Self.publicKeyInfo(publicKey))
        let bytes = DER.sequence(content + DER.ed25519 + DER.tagged(0x03, [0] + signature(of: content)))
        do {
            return try NIOSSLCertificate(bytes: bytes, format: .der)
        } catch {
            throw LinkCarrierError(.key, cause: "\(error)")
        }
    }
}

/// As much of DER (X.690) as a certificate of ours is made of.
enum DER {
    /// The algorithm's name, 1.3.101.112 (RFC 8410).
    static let ed25519 = sequence([0x06, 3, 0x2B, 0x65, 0x70])

    static func sequence(_ content: [UInt8]) -> [UInt8] { tagged(0x30, content) }

    /// `content` is shorter than 64 KiB.
    static func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
        let count = content.count
        let length: [UInt8] =
            switch count {
            case ..<128: [UInt8(count)]
            case ..<256: [0x81, UInt8(count)]
            default: [0x82, UInt8(count >> 8), UInt8(count & 0xFF)]
            }
        return [tag] + length + content
    }
}
