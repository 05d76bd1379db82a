public import NetworkTypes
public import Sodium

/// A token as one word: its prefix, facts in JSON as base64url, secrets of 32 bytes each in hexadecimal digits, and 8 digits of the SHA-256 of
/// what is before them, with points between; what was cut while it was copied is seen.
public struct TokenText: Sendable {
    /// Characters.
    static let longest = 16 << 10
    private static let secretSize = 32

    private let prefix: [UInt8]
    private let secrets: Int

    /// - Parameter prefix: with its version, ends with a point.
    public init(prefix: String, secrets: Int) {
        self.prefix = Array(prefix.utf8)
        self.secrets = secrets
    }

    /// The caller zeroes it.
    public func text(facts: [UInt8], secrets: [SecretBytes]) -> [UInt8] {
        var text = prefix + encodeBase64URL(facts) + [0x2E]
        // No copy of what is secret stays behind by a growing array.
        text.reserveCapacity(text.count + 2 * Self.secretSize * secrets.count + 1 + 8)
        for secret in secrets {
            secret.withUnsafeBytes { bytes in for byte in bytes { text += [Self.digit(byte >> 4), Self.digit(byte & 15)] } }
        }
        let check = Self.check(text)
        text += [0x2E] + check
        return text
    }

    /// Zeroes the text. White space around it is allowed.
    /// - Throws: `InvalidValue` that never repeats it.
    public func parts(consuming text: inout [UInt8]) throws(InvalidValue) -> (facts: [UInt8], secrets: [SecretBytes]) {
        defer { zero(&text) }
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        while let last = text.last, isSpace(last) { text.removeLast() }
        let start = text.firstIndex { !isSpace($0) } ?? text.endIndex
        guard text.count <= Self.longest, text[start...].starts(with: prefix) else {
            throw Self.invalid("it does not begin with \"\(String(decoding: prefix, as: UTF8.self))\", or is far too long")
        }
        guard let end = text.lastIndex(of: 0x2E), text.suffix(from: end).dropFirst().elementsEqual(Self.check(text[start..<end]))
        else {
            throw Self.invalid("a part of it is missing or altered; copy all of it")
        }
        let parts = text[(start + prefix.count)..<end].split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 2, let facts = decodeBase64URL(parts[0]) else {
            throw Self.invalid("it is of another version of Tidegate, or was altered")
        }
        guard var bytes = Self.bytes(parts[1]), bytes.count == secrets * Self.secretSize else {
            throw Self.invalid("it was altered")
        }
        defer { zero(&bytes) }
        do {
            return (
                facts,
                try (0..<secrets).map { try SecretBytes(copying: bytes[$0 * Self.secretSize..<($0 + 1) * Self.secretSize]) }
            )
        } catch {
            throw Self.invalid("there is no memory for its secrets")
        }
    }

    private static func check(_ text: some Sequence<UInt8>) -> [UInt8] {
        Array(SHA256.digest(of: Array(text)).description.utf8.prefix(8))
    }

    private static func digit(_ value: UInt8) -> UInt8 { value < 10 ? 0x30 + value : 0x61 + value - 10 }

    private static func bytes(_ digits: ArraySlice<UInt8>) -> [UInt8]? {
        guard digits.count % 2 == 0 else { return nil }
        var bytes: [UInt8] = []
        bytes.reserveCapacity(digits.count / 2)
        var high: UInt8?
        for digit in digits {
            let value: UInt8
            switch digit {
            case 0x30...0x39: value = digit - 0x30
            case 0x61...0x66: value = digit - 0x61 + 10
            default: return nil
            }
            if let before = high {
                bytes.append(before << 4 | value)
                high = nil
            } else {
                high = value
            }
        }
        return bytes
    }

    private static func invalid(_ reason: String) -> InvalidValue {
        InvalidValue(expected: "join token", given: "<redacted>", reason: reason)
    }
}
