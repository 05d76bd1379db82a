/// How long to wait after the next failure: longer each time, each time another length, anew after a good while without one.
struct Backoff: Sendable {
    // client-go's reflector: 800 ms, doubled up to 30 s, up to twice as long by chance, forgotten after 2 minutes.
    static let first: Duration = .milliseconds(800)
    static let most: Duration = .seconds(30)
    static let forgottenAfter: Duration = .seconds(120)

    private var step = Backoff.first
    private var last: ContinuousClock.Instant?

    /// - Parameters:
    ///   - random: from 0 to 1.
    ///   - retryAfter: seconds that the server asked for; nil when it did not.
    mutating func next(now: ContinuousClock.Instant, random: Double, retryAfter: Int?) -> Duration {
        if let last, now - last > Self.forgottenAfter { step = Self.first }
        last = now
        let own = step * (1 + random)
        step = min(step * 2, Self.most)
        guard let retryAfter else { return own }
        // Many clients were told the same number.
        return max(own, .seconds(retryAfter) * (1 + random / 5))
    }
}
