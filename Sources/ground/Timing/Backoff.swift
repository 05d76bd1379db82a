/// How long to wait after the next failure: longer each time, each time another length, anew after a good while without one.
public struct Backoff: Sendable {
    // client-go's reflector: 800 ms, doubled, up to twice as long by chance, forgotten after 2 minutes. It goes up to 30 s;
    // here a server that is back is followed again within 20.
    static let first: Duration = .milliseconds(800)
    static let most: Duration = .seconds(10)
    static let forgottenAfter: Duration = .seconds(120)
    /// A success makes the waits short again once in this time, so that successes and failures in turn are no storm.
    static let forgivenEvery: Duration = .seconds(60)

    private var step = Backoff.first
    private var last: ContinuousClock.Instant?
    private var forgivenAt: ContinuousClock.Instant?

    public init() {}

    /// - Parameters:
    ///   - random: from 0 to 1.
    ///   - retryAfter: seconds that the server asked for; nil when it did not.
    public mutating func next(now: ContinuousClock.Instant, random: Double, retryAfter: Int?) -> Duration {
        if let last, now - last > Self.forgottenAfter { step = Self.first }
        last = now
        let own = step * (1 + random)
        step = min(step * 2, Self.most)
        guard let retryAfter else { return own }
        // Many clients were told the same number.
        return max(own, .seconds(retryAfter) * (1 + random / 5))
    }

    /// The server answered as it should.
    public mutating func succeeded(now: ContinuousClock.Instant) {
        if let forgivenAt, now - forgivenAt < Self.forgivenEvery { return }
        guard step != Self.first else { return }
        forgivenAt = now
        step = Self.first
    }
}
