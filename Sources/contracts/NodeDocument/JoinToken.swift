public import NetworkTypes
public import Sodium

/// What an uplink is handed by way of the VPS, under the seal of its installation (`HandoverKey`).
public struct HandedDocument: Hashable, Codable, Sendable {
    /// Bytes under seal at most.
    public static let longest = 24 << 20

    /// Rises with each document that is another: a lower one is an old one that somebody kept.
    public var sequence: UInt64
    public var document: UplinkDocument

    public init(sequence: UInt64, document: UplinkDocument) {
        self.sequence = sequence
        self.document = document
    }
}

/// All that an uplink elsewhere needs to come by a link, once, as one word for `uplink join`: it is told its forwards by the link.
///
/// As a text: `tidegate-join-1.`, the `Facts` in JSON as base64url, the two secrets as 128 hexadecimal digits, and 8 digits of the SHA-256
/// of what is before them, with points between; what was cut while it was copied is seen.
public struct JoinToken: Sendable, CustomStringConvertible {
    /// What is no secret.
    public struct Facts: Hashable, Codable, Sendable {
        /// Without forwards, and of one replica.
        public var document: UplinkDocument
        /// The public key by which the installation signs what it hands over, base64.
        public var signer: String

        public init(document: UplinkDocument, signer: String) {
            self.document = document
            self.signer = signer
        }
    }

    private static let prefix = Array("tidegate-join-1.".utf8)
    /// Characters; a token has some 1,500.
    public static let longest = 16 << 10

    public let facts: Facts
    /// The only replica of the facts.
    public let ordinal: Int
    public let key: WireGuardPrivateKey
    public let opener: HandoverOpener

    /// - Throws: `InvalidValue` where the document has no link, or more or fewer than one replica.
    public init(document: UplinkDocument, key: WireGuardPrivateKey, opener: HandoverOpener) throws(InvalidValue) {
        try self.init(Facts(document: document, signer: encodeBase64(opener.signer)), key, opener)
    }

    private init(_ facts: Facts, _ key: WireGuardPrivateKey, _ opener: HandoverOpener) throws(InvalidValue) {
        let content = facts.document.content
        guard content.link != nil, content.replicas.count == 1, let replica = content.replicas.first, content.forwards.isEmpty
        else {
            throw Self.invalid("it names no link, or not one uplink")
        }
        guard (try? key.publicKey()) == replica.publicKey else { throw Self.invalid("its key is not the uplink's") }
        self.facts = facts
        ordinal = replica.ordinal
        self.key = key
        self.opener = opener
    }

    public var description: String { "<join token of uplink \(ordinal) of EdgeNode \(facts.document.owner)>" }

    /// The caller zeroes it.
    public func text() throws(DocumentError) -> [UInt8] {
        let facts = encodeBase64(try DocumentJSON.encode(facts))
        var text = Self.prefix + facts.utf8.compactMap(Self.webCharacter) + [0x2E]
        // No copy of what is secret stays behind by a growing array.
        text.reserveCapacity(text.count + 128 + 1 + 8)
        for secret in [key.secret, opener.secret] {
            secret.withUnsafeBytes { bytes in for byte in bytes { text += [Self.digit(byte >> 4), Self.digit(byte & 15)] } }
        }
        let check = Self.check(text)
        text += [0x2E] + check
        return text
    }

    /// Zeroes the text. White space around it is allowed.
    /// - Throws: `InvalidValue` that never repeats it.
    public init(consuming text: inout [UInt8]) throws(InvalidValue) {
        defer { zero(&text) }
        let isSpace = { (byte: UInt8) in byte == 0x20 || (0x09...0x0D).contains(byte) }
        while let last = text.last, isSpace(last) { text.removeLast() }
        let start = text.firstIndex { !isSpace($0) } ?? text.endIndex
        guard text.count <= Self.longest, text[start...].starts(with: Self.prefix) else {
            throw Self.invalid("it does not begin with \"\(String(decoding: Self.prefix, as: UTF8.self))\", or is far too long")
        }
        guard let end = text.lastIndex(of: 0x2E), text.suffix(from: end).dropFirst().elementsEqual(Self.check(text[start..<end]))
        else {
            throw Self.invalid("a part of it is missing or altered; copy all of it")
        }
        let parts = text[(start + Self.prefix.count)..<end].split(separator: 0x2E, omittingEmptySubsequences: false)
        guard parts.count == 2, let facts = Self.facts(parts[0]), let signer = decodeBase64(facts.signer) else {
            throw Self.invalid("it is of another version of Tidegate, or was altered")
        }
        guard var secrets = Self.bytes(parts[1]), secrets.count == 64 else { throw Self.invalid("it was altered") }
        defer { zero(&secrets) }
        let key: WireGuardPrivateKey
        let opener: HandoverOpener?
        do {
            var first = Array(secrets.prefix(32))
            key = try WireGuardPrivateKey(consuming: &first)
            opener = HandoverOpener(signer: signer, secret: try SecretBytes(copying: secrets.suffix(32)))
        } catch {
            throw Self.invalid("its key is none")
        }
        guard let opener else { throw Self.invalid("its signer is none") }
        try self.init(facts, key, opener)
    }

    private static func facts(_ part: ArraySlice<UInt8>) -> Facts? {
        var base64 = part.map { $0 == 0x2D ? 0x2B : $0 == 0x5F ? 0x2F : $0 }
        while base64.count % 4 != 0 { base64.append(0x3D) }
        return decodeBase64(base64).flatMap { try? DocumentJSON.decode(Facts.self, from: $0) }
    }

    /// RFC 4648, section 5, without padding.
    private static func webCharacter(_ byte: UInt8) -> UInt8? {
        switch byte {
        case 0x2B: 0x2D
        case 0x2F: 0x5F
        case 0x3D: nil
        default: byte
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
