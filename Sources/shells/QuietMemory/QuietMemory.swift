import CLinuxHeaders
import Glibc
public import Logging
public import ServiceLifecycle

/// Lets go of memory that only busy times need, whenever one is over: code that ran once (the start, the first reading of all objects, an
/// enrollment) and the heap's free pages. Half of what this process holds after its start is its program's file, mapped; the kernel
/// takes such pages back under pressure only, and counts them as resident until then. What is needed again comes from the page cache.
public struct QuietMemory: Service {
    private let logger: Logger
    private static let period = Duration.seconds(5)

    public init(logger: Logger) { self.logger = logger }

    /// Until shutdown.
    public func run() async throws {
        await cancelWhenGracefulShutdown {
            var moments = QuietMoments()
            while (try? await Task.sleep(for: Self.period)) != nil {
                guard moments.isFirstOfQuiet(used: Self.processorTime(), in: Self.period) else { continue }
                malloc_trim(0)
                let bytes = tidegate_release_program_pages()
                logger.debug("quiet: let go of the program's pages", metadata: ["mapped": "\(bytes)"])
            }
        }
    }

    /// Of all threads since the start.
    private static func processorTime() -> Duration {
        var time = timespec()
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time)
        return .seconds(time.tv_sec) + .nanoseconds(time.tv_nsec)
    }
}

/// When a busy time is over, told from the processor time that was used.
struct QuietMoments {
    /// Of one core. At rest a controller of 100 EdgeNodes uses 1 %.
    static let busyShare = 0.05

    private var last: Duration?
    private var wasBusy = true

    /// - Parameters:
    ///   - used: processor time since the start.
    ///   - period: since the last question.
    /// - Returns: whether this period was quiet and the one before was not, or is unknown.
    mutating func isFirstOfQuiet(used: Duration, in period: Duration) -> Bool {
        defer { last = used }
        guard let last else { return false }
        let isBusy = used - last > period * Self.busyShare
        defer { wasBusy = isBusy }
        return wasBusy && !isBusy
    }
}
