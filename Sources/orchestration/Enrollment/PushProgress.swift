import Glibc
import Logging
import Synchronization

/// Tells how far a push is: a line of the log for each tenth that took a while, and a bar where standard error is a terminal.
final class PushProgress: Sendable {
    private struct State {
        var toldTenth = 0
        var toldAt = ContinuousClock.now
        var drawn = -1
    }

    private let what: String
    private let place: String
    private let bytes: Int
    private let logger: Logger
    private let started = ContinuousClock.now
    private let state = Mutex(State())
    private let hasBar: Bool

    /// A quick push is told of once; a slow one not more often than this.
    private static let pause: Duration = .seconds(2)

    init(of what: String, to place: String, bytes: Int, logger: Logger) {
        self.what = what
        self.place = place
        self.bytes = bytes
        self.logger = logger
        // A log that machines read stays one.
        let isForMachines = getenv("LOG_FORMAT").map { String(cString: $0) } == "json"
        hasBar = !isForMachines && isatty(STDERR_FILENO) == 1
        logger.info("pushing \(what)", metadata: ["to": "\(place)", "bytes": "\(bytes)"])
    }

    /// So many bytes of the whole are on their way.
    func came(to count: Int) {
        let percent = bytes > 0 ? min(100, count * 100 / bytes) : 100
        let now = ContinuousClock.now
        let (isTold, isDrawn) = state.withLock { state in
            let isTold = percent / 10 > state.toldTenth && now - state.toldAt >= Self.pause
            if isTold { (state.toldTenth, state.toldAt) = (percent / 10, now) }
            let isDrawn = hasBar && percent > state.drawn
            if isDrawn { state.drawn = percent }
            return (isTold, isDrawn)
        }
        if isDrawn { draw(percent) }
        guard isTold, !hasBar else { return }
        let seconds = (now - started) / .seconds(1)
        logger.info(
            "pushing \(what)", metadata: ["to": "\(place)", "percent": "\(percent)", "seconds": "\(Int(seconds.rounded()))"])
    }

    private func draw(_ percent: Int) {
        let bar = progressBar(percent, width: 30)
        let text = "\r\(what) to \(place) \(bar) of \(bytes >> 20) MiB" + (percent == 100 ? "\n" : "")
        _ = text.utf8.withContiguousStorageIfAvailable { write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}

/// `[#####-----]  50 %`.
func progressBar(_ percent: Int, width: Int) -> String {
    let full = max(0, min(width, percent * width / 100))
    let padding = String(repeating: " ", count: max(0, 3 - "\(percent)".count))
    return "[\(String(repeating: "#", count: full))\(String(repeating: "-", count: width - full))] \(padding)\(percent) %"
}
