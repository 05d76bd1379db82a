import CLinuxHeaders
import Glibc

/// The signals that a process of one thread waits for instead of being interrupted by them.
struct AwaitedSignals {
    private var set = sigset_t()

    /// Blocks them from here on, in what this process execs too.
    init(_ signals: [Int32]) {
        sigemptyset(&set)
        for signal in signals { sigaddset(&set, signal) }
        sigprocmask(SIG_BLOCK, &set, nil)
        // An ignored one is not delivered, blocked or not.
        if signals.contains(SIGHUP) { signal(SIGHUP, SIG_DFL) }
    }

    /// Waits for the next, at most so many milliseconds (sigtimedwait(2)).
    /// - Returns: -1 when none came.
    mutating func next(within milliseconds: Int64) -> Int32 {
        var wait = timespec(tv_sec: Int(milliseconds / 1000), tv_nsec: Int(milliseconds % 1000) * 1_000_000)
        return sigtimedwait(&set, nil, &wait)
    }
}

/// Of a clock that never steps.
func monotonicMilliseconds() -> Int64 {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
