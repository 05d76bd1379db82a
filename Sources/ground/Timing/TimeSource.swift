import Glibc

/// Time and chance, as those see them whose tests bring their own.
public struct TimeSource: Sendable {
    /// Never goes back, and goes on while the machine or the process sleeps (CLOCK_BOOTTIME).
    public var now: @Sendable () -> ContinuousClock.Instant
    /// Microseconds since 1970, for others to read; nothing is decided by them.
    public var microseconds: @Sendable () -> Int64
    /// Ends early, without an error, when the task is cancelled.
    public var sleep: @Sendable (_ until: ContinuousClock.Instant) async -> Void
    /// From 0 up to, not including, 1.
    public var random: @Sendable () -> Double

    public init(
        now: @escaping @Sendable () -> ContinuousClock.Instant, microseconds: @escaping @Sendable () -> Int64,
        sleep: @escaping @Sendable (_ until: ContinuousClock.Instant) async -> Void, random: @escaping @Sendable () -> Double
    ) {
        self.now = now
        self.microseconds = microseconds
        self.sleep = sleep
        self.random = random
    }

    public static let system = TimeSource(
        now: { ContinuousClock.now },
        microseconds: {
            var now = timespec()
            clock_gettime(CLOCK_REALTIME, &now)
            return Int64(now.tv_sec) * 1_000_000 + Int64(now.tv_nsec) / 1000
        },
        sleep: { try? await Task.sleep(until: $0, clock: .continuous) },
        random: { Double.random(in: 0..<1) })
}

extension TimeSource {
    public func sleep(for duration: Duration) async {
        if duration > .zero { await sleep(now() + duration) }
    }
}
