import CLinuxHeaders
import Glibc

/// A point in time by both of the clocks that are needed.
struct Moment: Hashable, Sendable {
    /// Seconds since 1970, as WireGuard counts handshakes.
    var wall: Int64
    /// Since some moment in the past, the same for the life of the host: it never goes back.
    var steady: Duration

    static var now: Moment {
        Moment(wall: Int64(read(CLOCK_REALTIME).tv_sec), steady: steadyTime())
    }

    /// `Moment.steady`, where the other is not needed.
    static func steadyTime() -> Duration {
        let time = read(CLOCK_MONOTONIC)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }

    private static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}

extension Duration {
    /// What is less than a second is left out.
    var wholeSeconds: Int { Int(components.seconds) }
}
