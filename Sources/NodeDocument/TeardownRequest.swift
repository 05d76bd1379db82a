/// What `edge-agent teardown` reads: who asks, and in which epoch. An agent that knows only owners reads it as one.
public struct TeardownRequest: Hashable, Codable, Sendable {
    public var owner: Owner
    /// Nil when no writer is fenced off.
    public var epoch: UInt64?

    public init(owner: Owner, epoch: UInt64?) {
        self.owner = owner
        self.epoch = epoch
    }

    private enum Keys: String, CodingKey { case epoch }

    public init(from decoder: any Decoder) throws {
        owner = try Owner(from: decoder)
        epoch = try decoder.container(keyedBy: Keys.self).decodeIfPresent(UInt64.self, forKey: .epoch)
    }

    public func encode(to encoder: any Encoder) throws {
        try owner.encode(to: encoder)
        var container = encoder.container(keyedBy: Keys.self)
        try container.encodeIfPresent(epoch, forKey: .epoch)
    }
}
