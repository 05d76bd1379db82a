import Glibc

/// A point in time by both of the clocks that are needed.
struct Moment: Hashable, Sendable {
    /// Seconds since 1970, as WireGuard counts handshakes.
    var wall: Int64
    /// Milliseconds that never go back.
    var steady: Int64

    static var now: Moment { Moment(wall: wallClockSeconds(), steady: steadyMilliseconds()) }
}

/// Seconds since 1970, as WireGuard counts handshakes.
func wallClockSeconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_REALTIME, &now)
    return Int64(now.tv_sec)
}

/// Milliseconds that never go back.
func steadyMilliseconds() -> Int64 {
    var now = timespec()
    clock_gettime(CLOCK_MONOTONIC, &now)
    return Int64(now.tv_sec) * 1000 + Int64(now.tv_nsec) / 1_000_000
}
