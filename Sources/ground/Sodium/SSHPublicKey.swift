public import NetworkTypes

/// An Ed25519 public key as OpenSSH writes it: `ssh-ed25519 AAAA…`, without a comment.
public struct SSHPublicKey: StringValue {
    private static let type = "ssh-ed25519"

    /// Always 32.
    public let bytes: [UInt8]

    init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    public init(parsing text: String) throws(InvalidValue) {
        let words = text.split(separator: " ", omittingEmptySubsequences: false)
        guard words.count == 2, words[0] == Self.type, let blob = decodeBase64(String(words[1])),
            blob.count == Self.head.count + 32,
            blob.starts(with: Self.head)
        else { throw InvalidValue(expected: "SSH public key", given: text, reason: "want \(Self.type) and the key in base64") }
        bytes = Array(blob.suffix(32))
    }

    /// The key in the format of RFC 8709 (section 4).
    public var blob: [UInt8] { Self.head + bytes }

    /// What stands before the key: its type, and its length (RFC 4251, section 5).
    private static let head: [UInt8] = [0, 0, 0, UInt8(type.utf8.count)] + Array(type.utf8) + [0, 0, 0, 32]

    public var description: String { "\(Self.type) \(encodeBase64(blob))" }
}
