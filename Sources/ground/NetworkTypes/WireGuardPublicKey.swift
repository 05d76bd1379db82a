/// A Curve25519 public key as WireGuard writes it: 32 bytes, 44 characters of base64.
public struct WireGuardPublicKey: StringValue, Comparable {
    /// Always 32 (`WG_KEY_LEN` of linux/wireguard.h).
    public let bytes: [UInt8]

    /// - Returns: nil unless `bytes` are 32.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    public init(parsing text: String) throws(InvalidValue) {
        guard text.utf8.count == 44, let bytes = decodeBase64(text), bytes.count == 32 else {
            throw InvalidValue(expected: "WireGuard public key", given: text, reason: "want 32 bytes as 44 characters of base64")
        }
        self.bytes = bytes
    }

    public static func < (a: Self, b: Self) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
    public var description: String { encodeBase64(bytes) }
}
