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

    private static let form = TokenText(prefix: "tidegate-join-1.", secrets: 2)
    /// Characters; a token has some 1,500.
    public static let longest = TokenText.longest

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
        Self.form.text(facts: try DocumentJSON.encode(facts), secrets: [key.secret, opener.secret])
    }

    /// Zeroes the text. White space around it is allowed.
    /// - Throws: `InvalidValue` that never repeats it.
    public init(consuming text: inout [UInt8]) throws(InvalidValue) {
        let (json, secrets) = try Self.form.parts(consuming: &text)
        guard let facts = try? DocumentJSON.decode(Facts.self, from: json), let signer = decodeBase64(facts.signer) else {
            throw Self.invalid("it is of another version of Tidegate, or was altered")
        }
        let key: WireGuardPrivateKey
        do {
            var bytes = secrets[0].withUnsafeBytes { Array($0) }
            key = try WireGuardPrivateKey(consuming: &bytes)
        } catch {
            throw Self.invalid("its key is none")
        }
        guard let opener = HandoverOpener(signer: signer, secret: secrets[1]) else { throw Self.invalid("its signer is none") }
        try self.init(facts, key, opener)
    }

    private static func invalid(_ reason: String) -> InvalidValue {
        InvalidValue(expected: "join token", given: "<redacted>", reason: reason)
    }
}
