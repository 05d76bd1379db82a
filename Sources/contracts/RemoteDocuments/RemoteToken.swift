public import NetworkTypes
public import NodeDocument
public import Sodium

/// All that a remote needs to be the other half of a remote service, as one word for `uplink join`: it is told its ports by the link.
public struct RemoteToken: Sendable, CustomStringConvertible {
    /// What is no secret, but for the path.
    public struct Facts: Hashable, Codable, Sendable {
        /// `NAMESPACE/NAME`.
        public var service: String
        /// `ws://HOST`, `wss://HOST`, with `:PORT` or without.
        public var url: String
        /// Where the gateway takes links; begins with `/`.
        public var path: String
        /// Of the gateway's key.
        public var pin: SHA256Digest

        public init(service: String, url: String, path: String, pin: SHA256Digest) {
            self.service = service
            self.url = url
            self.path = path
            self.pin = pin
        }
    }

    public static let prefix = "tidegate-remote-1."
    private static let form = TokenText(prefix: prefix, secrets: 1)

    public let facts: Facts
    public let key: LinkPrivateKey

    public init(facts: Facts, key: LinkPrivateKey) {
        self.facts = facts
        self.key = key
    }

    public var description: String { "<join token of RemoteService \(facts.service)>" }

    /// The caller zeroes it.
    public func text() throws(DocumentError) -> [UInt8] {
        Self.form.text(facts: try DocumentJSON.encode(facts), secrets: [key.secret])
    }

    /// Zeroes the text. White space around it is allowed.
    /// - Throws: `InvalidValue` that never repeats it.
    public init(consuming text: inout [UInt8]) throws(InvalidValue) {
        let (json, secrets) = try Self.form.parts(consuming: &text)
        guard let facts = try? DocumentJSON.decode(Facts.self, from: json), facts.path.hasPrefix("/"),
            let key = LinkPrivateKey(secret: secrets[0])
        else {
            throw InvalidValue(
                expected: "join token", given: "<redacted>", reason: "it is of another version of Tidegate, or was altered")
        }
        self.init(facts: facts, key: key)
    }
}
