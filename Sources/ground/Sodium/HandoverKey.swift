import CLibsodium

/// Seals what a controller hands its uplinks by way of a VPS, which can neither read nor alter it: signed (Ed25519, RFC 8032), then
/// encrypted (crypto_secretbox of libsodium: XSalsa20 and Poly1305). An installation has one.
public struct HandoverKey: Sendable, CustomStringConvertible {
    /// Bytes of the secret.
    public static let size = 32

    public let secret: SecretBytes

    public static func generate() throws(SodiumError) -> HandoverKey { HandoverKey(checked: try .random(count: size)) }

    /// Nil when the secret has not that size.
    public init?(secret: SecretBytes) {
        guard secret.count == Self.size else { return nil }
        self.secret = secret
    }

    private init(checked secret: SecretBytes) { self.secret = secret }

    public var description: String { "<handover key>" }

    /// What opens, and cannot seal.
    public func opener() throws(SodiumError) -> HandoverOpener {
        HandoverOpener(signer: try signer().publicKey, checked: try derived("tidegate handover box 1"))
    }

    /// The same message gives the same bytes. They are 104 longer.
    public func seal(_ message: [UInt8]) throws(SodiumError) -> [UInt8] {
        let box = try derived("tidegate handover box 1")
        let signed = try signer().signature(of: message) + message
        // Of the message by the key: no two messages share a nonce.
        var nonce = [UInt8](repeating: 0, count: HandoverOpener.nonceBytes)
        var sealed = [UInt8](repeating: 0, count: signed.count + HandoverOpener.tagBytes)
        box.withUnsafePointer { key in
            _ = crypto_generichash(&nonce, nonce.count, signed, UInt64(signed.count), key, box.count)
            _ = crypto_secretbox_easy(&sealed, signed, UInt64(signed.count), nonce, key)
        }
        return nonce + sealed
    }

    private func signer() throws(SodiumError) -> LinkPrivateKey {
        guard let key = LinkPrivateKey(secret: try derived("tidegate handover signature 1")) else {
            throw SodiumError(call: "crypto_generichash")
        }
        return key
    }

    private func derived(_ context: String) throws(SodiumError) -> SecretBytes {
        let context = Array(context.utf8)
        var bytes = [UInt8](repeating: 0, count: Self.size)
        secret.withUnsafePointer { key in
            _ = crypto_generichash(&bytes, bytes.count, context, UInt64(context.count), key, secret.count)
        }
        return try SecretBytes(consuming: &bytes)
    }
}

/// Opens what the `HandoverKey` of one installation sealed.
public struct HandoverOpener: Sendable, Equatable {
    /// crypto_secretbox_NONCEBYTES and crypto_secretbox_MACBYTES.
    static let nonceBytes = 24
    static let tagBytes = 16
    private static let signatureBytes = 64

    /// The signer's public key, 32 bytes.
    public let signer: [UInt8]
    /// 32 bytes.
    public let secret: SecretBytes

    /// Nil where one of them has another size.
    public init?(signer: [UInt8], secret: SecretBytes) {
        guard signer.count == 32, secret.count == 32 else { return nil }
        self.init(signer: signer, checked: secret)
    }

    fileprivate init(signer: [UInt8], checked secret: SecretBytes) {
        self.signer = signer
        self.secret = secret
    }

    /// Nil for what was not sealed by that key, or altered since.
    public func open(_ sealed: [UInt8]) -> [UInt8]? {
        guard sealed.count >= Self.nonceBytes + Self.tagBytes + Self.signatureBytes else { return nil }
        let (nonce, box) = (Array(sealed.prefix(Self.nonceBytes)), Array(sealed.dropFirst(Self.nonceBytes)))
        var signed = [UInt8](repeating: 0, count: box.count - Self.tagBytes)
        guard secret.withUnsafePointer({ crypto_secretbox_open_easy(&signed, box, UInt64(box.count), nonce, $0) }) == 0 else {
            return nil
        }
        let (signature, message) = (Array(signed.prefix(Self.signatureBytes)), Array(signed.dropFirst(Self.signatureBytes)))
        return crypto_sign_verify_detached(signature, message, UInt64(message.count), signer) == 0 ? message : nil
    }
}
