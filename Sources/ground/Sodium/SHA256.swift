import CLibsodium
public import NetworkTypes

/// A SHA-256 digest (FIPS 180-4), written as 64 lower-case hexadecimal digits.
public struct SHA256Digest: StringValue {
    /// Always 32.
    public let bytes: [UInt8]

    fileprivate init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    public init(parsing text: String) throws(InvalidValue) {
        var bytes: [UInt8] = []
        var high: UInt8?
        for character in text.utf8 {
            guard let digit = Self.value(character) else { break }
            if let first = high {
                bytes.append(first << 4 | digit)
                high = nil
            } else {
                high = digit
            }
        }
        guard text.utf8.count == 64, bytes.count == 32 else {
            throw InvalidValue(expected: "SHA-256", given: text, reason: "want 64 hexadecimal digits")
        }
        self.bytes = bytes
    }

    private static func value(_ character: UInt8) -> UInt8? {
        switch character {
        case 0x30...0x39: character - 0x30
        case 0x61...0x66: character - 0x61 + 10
        case 0x41...0x46: character - 0x41 + 10
        default: nil
        }
    }

    public var description: String {
        let digits = Array("0123456789abcdef".utf8)
        return String(decoding: bytes.flatMap { [digits[Int($0 >> 4)], digits[Int($0 & 15)]] }, as: UTF8.self)
    }
}

/// SHA-256 over data that arrives in pieces.
public struct SHA256 {
    private var state = crypto_hash_sha256_state()

    public init() { crypto_hash_sha256_init(&state) }

    public mutating func update(_ bytes: UnsafeRawBufferPointer) {
        crypto_hash_sha256_update(&state, bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), UInt64(bytes.count))
    }

    public mutating func update(_ bytes: [UInt8]) { bytes.withUnsafeBytes { update($0) } }

    /// Ends the computation; a copy may be finished while the original goes on.
    public consuming func finish() -> SHA256Digest {
        var digest = [UInt8](repeating: 0, count: Int(crypto_hash_sha256_BYTES))
        crypto_hash_sha256_final(&state, &digest)
        return SHA256Digest(unchecked: digest)
    }

    public static func digest(of bytes: [UInt8]) -> SHA256Digest {
        var hash = SHA256()
        hash.update(bytes)
        return hash.finish()
    }

    public static func digest(of text: String) -> SHA256Digest { digest(of: Array(text.utf8)) }
}
