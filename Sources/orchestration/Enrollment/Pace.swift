/// How often something may be done at somebody else's word: so many times in a row, and after that once in each interval.
public struct Pace: Sendable {
    private let burst: Int
    private let interval: Duration
    private var debt: Duration = .zero
    private var at: ContinuousClock.Instant

    /// - Parameter burst: times in a row, 1 at least; each is given back after `interval`.
    public init(burst: Int, interval: Duration, now: ContinuousClock.Instant) {
        self.burst = burst
        self.interval = interval
        at = now
    }

    /// - Returns: how long to wait; nil when it may be done right now, and then it counts as done.
    public mutating func wait(now: ContinuousClock.Instant) -> Duration? {
        debt = max(.zero, debt - (now - at))
        at = now
        guard debt <= interval * (burst - 1) else { return debt - interval * (burst - 1) }
        debt += interval
        return nil
    }

    /// Whether it is as if nothing ever had been done.
    public func isIdle(now: ContinuousClock.Instant) -> Bool { now - at >= debt }
}
