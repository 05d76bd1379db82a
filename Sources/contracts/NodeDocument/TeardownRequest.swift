/// What `edge-agent teardown` reads: who asks, and in which epoch. An agent that knows only owners reads it as one.
public struct TeardownRequest: Hashable, Codable, Sendable {
    public var owner: Owner
    /// Nil when no writer is fenced off.
    public var epoch: UInt64?
    /// As in a `RelayDocument`.
    public var writer: String?

    public init(owner: Owner, epoch: UInt64?, writer: String? = nil) {
        self.owner = owner
        self.epoch = epoch
        self.writer = writer
    }

    private enum Keys: String, CodingKey { case epoch, writer }

    public init(from decoder: any Decoder) throws {
        owner = try Owner(from: decoder)
        let container = try decoder.container(keyedBy: Keys.self)
        epoch = try container.decodeIfPresent(UInt64.self, forKey: .epoch)
        writer = try container.decodeIfPresent(String.self, forKey: .writer)
    }

    public func encode(to encoder: any Encoder) throws {
        try owner.encode(to: encoder)
        var container = encoder.container(keyedBy: Keys.self)
        try container.encodeIfPresent(epoch, forKey: .epoch)
        try container.encodeIfPresent(writer, forKey: .writer)
    }
}
