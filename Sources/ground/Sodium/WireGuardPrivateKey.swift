import CLibsodium
public import NetworkTypes

/// A Curve25519 private key for WireGuard, in guarded memory.
public struct WireGuardPrivateKey: Sendable, Equatable, CustomStringConvertible {
    /// 32 bytes, clamped.
    public let secret: SecretBytes

    /// A new key from the system's random source, clamped as RFC 7748 (section 5) and `wg genkey` do.
    public static func generate() throws(SodiumError) -> WireGuardPrivateKey {
        var bytes = [UInt8](repeating: 0, count: Int(crypto_scalarmult_curve25519_SCALARBYTES))
        try prepareSodium()
        randombytes_buf(&bytes, bytes.count)
        clamp(&bytes)
        return WireGuardPrivateKey(secret: try SecretBytes(consuming: &bytes))
    }

    private init(secret: SecretBytes) { self.secret = secret }

    private static func clamp(_ bytes: inout [UInt8]) {
        bytes[0] &= 248
        bytes[31] = bytes[31] & 127 | 64
    }

    /// That of whoever has this link's key, for WireGuard within the link (BLAKE2b with the key, RFC 7693): one secret to keep and to replace.
    public init(of key: LinkPrivateKey) throws(SodiumError) {
        let context = Array("tidegate mesh key 1".utf8)
        var bytes = [UInt8](repeating: 0, count: Int(crypto_scalarmult_curve25519_SCALARBYTES))
        key.secret.withUnsafePointer { secret in
            _ = crypto_generichash(&bytes, bytes.count, context, UInt64(context.count), secret, key.secret.count)
        }
        Self.clamp(&bytes)
        secret = try SecretBytes(consuming: &bytes)
    }

    /// Reads the 44 characters of base64 that `wg genkey` prints, and clamps them as the kernel does; white space around them
    /// is allowed. `text` is zeroed.
    /// - Throws: `InvalidValue` that never repeats what was given.
    public init(consumingBase64 text: inout [UInt8]) throws {
        defer { zero(&text) }
        var bytes = [UInt8](repeating: 0, count: 32)
        var length = 0
        let result = text.withUnsafeBytes {
            sodium_base642bin(
                &bytes, bytes.count, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count, " \n\r\t", &length, nil,
                sodium_base64_VARIANT_ORIGINAL)
        }
        guard result == 0, length == 32 else {
            zero(&bytes)
            throw InvalidValue(
                expected: "WireGuard private key", given: "<redacted>", reason: "want 32 bytes as 44 characters of base64")
        }
        self = try Self(consuming: &bytes)
    }

    /// Clamps 32 bytes as the kernel does, and takes them; they are zeroed.
    /// - Throws: `InvalidValue` for another length.
    public init(consuming bytes: inout [UInt8]) throws {
        defer { zero(&bytes) }
        guard bytes.count == 32 else {
            throw InvalidValue(expected: "WireGuard private key", given: "<redacted>", reason: "want 32 bytes")
        }
        Self.clamp(&bytes)
        secret = try SecretBytes(consuming: &bytes)
    }

    /// - Returns: the 44 characters of base64 with a newline, for a key file; the caller zeroes them.
    public func base64File() -> [UInt8] {
        var text = [CChar](repeating: 0, count: 45)
        secret.withUnsafeBytes { bytes in
            _ = sodium_bin2base64(
                &text, text.count, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), bytes.count,
                sodium_base64_VARIANT_ORIGINAL)
        }
        defer { text.withUnsafeMutableBytes { sodium_memzero($0.baseAddress, $0.count) } }
        return text.dropLast().map { UInt8(bitPattern: $0) } + [0x0A]
    }

    public func publicKey() throws(SodiumError) -> WireGuardPublicKey {
        var output = [UInt8](repeating: 0, count: 32)
        let result = secret.withUnsafePointer { crypto_scalarmult_curve25519_base(&output, $0) }
        guard result == 0, let key = WireGuardPublicKey(bytes: output) else {
            throw SodiumError(call: "crypto_scalarmult_curve25519_base")
        }
        return key
    }

    public var description: String { "<WireGuard private key>" }
}
