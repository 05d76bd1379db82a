import CLibsodium

/// The key by which one end of a link is known: Ed25519 (RFC 8032), kept as its seed. Each end shows the other its pin; nobody signs
/// for anybody.
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

    /// What a key is for. A signature made for the one says nothing to who asks for the other.
    public enum Purpose: String, Sendable {
        /// The link's own TLS.
        case link = "tidegate link key 1"
        /// The login at the VPS's sshd.
        case ssh = "tidegate link ssh key 1"
    }

    /// That of whoever has this WireGuard key: one secret to keep, to replace and to revoke. No key tells anything of the others to who
    /// has not all of them (BLAKE2b with the key, RFC 7693).
    public init(of key: WireGuardPrivateKey, for purpose: Purpose = .link) throws(SodiumError) {
        let context = Array(purpose.rawValue.utf8)
        var seed = [UInt8](repeating: 0, count: Self.size)
        key.secret.withUnsafePointer { secret in
            _ = crypto_generichash(&seed, seed.count, context, UInt64(context.count), secret, key.secret.count)
        }
        secret = try SecretBytes(consuming: &seed)
    }

    /// Whose key follows from a password that both halves of a remote service have.
    public enum PasswordHolder: String, Sendable {
        case gateway = "tidegate gateway of password 1"
        case remote = "tidegate remote of password 1"
    }

    /// BLAKE2b of the password, with what it is for as the key (RFC 7693). It is as hard to guess as the password is.
    public init(ofPassword password: String, for holder: PasswordHolder) throws(SodiumError) {
        var bytes = Array(password.utf8)
        defer { zero(&bytes) }
        let context = Array(holder.rawValue.utf8)
        var seed = [UInt8](repeating: 0, count: Self.size)
        _ = crypto_generichash(&seed, seed.count, bytes, UInt64(bytes.count), context, context.count)
        secret = try SecretBytes(consuming: &seed)
    }

    private init(checked secret: SecretBytes) { self.secret = secret }

    /// What the other end is told: the SHA-256 of the public key as certificates hold it.
    public var pin: SHA256Digest { SHA256.digest(of: publicKeyInfo) }

    public var description: String { "<link private key>" }

    /// 32 bytes.
    public var publicKey: [UInt8] { withKeyPair { publicKey, _ in publicKey } }

    /// The public key as SSH has it.
    public var sshPublicKey: SSHPublicKey { SSHPublicKey(unchecked: publicKey) }

    /// SubjectPublicKeyInfo of the public key (RFC 8410, section 4).
    public var publicKeyInfo: [UInt8] { DER.sequence(DER.ed25519 + DER.tagged(0x03, [0] + publicKey)) }

    /// An Ed25519 signature, 64 bytes.
    public func signature(of message: [UInt8]) -> [UInt8] {
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
}

/// As much of DER (X.690) as a certificate of ours is made of.
public enum DER {
    /// The algorithm's name, 1.3.101.112 (RFC 8410).
    public static let ed25519 = sequence([0x06, 3, 0x2B, 0x65, 0x70])

    public static func sequence(_ content: [UInt8]) -> [UInt8] { tagged(0x30, content) }

    /// `content` is shorter than 64 KiB.
    public static func tagged(_ tag: UInt8, _ content: [UInt8]) -> [UInt8] {
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
