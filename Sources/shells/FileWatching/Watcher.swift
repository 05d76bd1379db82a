import Dispatch
import Glibc

/// The work behind a `FileWatch`: waits for events on a queue of its own, and tells of changes when they have calmed down.
///
/// Its state belongs to `queue`; that is what makes it Sendable.
final class Watcher: @unchecked Sendable {
    /// Folders that change this often while they are looked at keep making events, which lead here again.
    private static let mostLooks = 10

    private let paths: [String]
    private let quiet: DispatchTimeInterval
    private let continuation: AsyncThrowingStream<Void, any Error>.Continuation
    private let queue = DispatchQueue(label: "tidegate.file-watching")
    private var source: (any DispatchSourceRead)?
    private var timer: (any DispatchSourceTimer)?
    /// When to tell of the change that is waiting, whatever else happens.
    private var deadline: DispatchTime?
    private var isStopped = false

    init(paths: [String], quiet: Duration, continuation: AsyncThrowingStream<Void, any Error>.Continuation) {
        self.paths = paths
        let (seconds, attoseconds) = quiet.components
        self.quiet = .nanoseconds(Int(seconds * 1_000_000_000 + attoseconds / 1_000_000_000))
        self.continuation = continuation
    }

    func start() { queue.async { self.watchAnew() } }

    func stop() {
        queue.async {
            self.isStopped = true
            self.source?.cancel()
            self.source = nil
            self.timer?.cancel()
            self.timer = nil
        }
    }

    /// Watches the paths as they are now, then tells of a change. What happens after the watches stand comes as an event, and
    /// what happened before is seen by whoever reads at the news.
    private func watchAnew() {
        guard !isStopped else { return }
        do throws(FileWatchError) {
            let inotify = try Inotify()
            // What appeared while the watches were being set is found by another look.
            var plan = WatchPlan()
            for _ in 0..<Self.mostLooks {
                var next = WatchPlan()
                for path in paths { next.add(path: path) }
                if next == plan { break }
                plan = next
                try inotify.watch(plan)
            }
            listen(to: inotify)
        } catch {
            source?.cancel()
            source = nil
            continuation.finish(throwing: error)
            return
        }
        continuation.yield()
    }

    private func listen(to inotify: Inotify) {
        let source = DispatchSource.makeReadSource(fileDescriptor: inotify.descriptor, queue: queue)
        source.setEventHandler { [weak self] in
            do throws(FileWatchError) {
                if try inotify.drain() { self?.changed() }
            } catch {
                self?.continuation.finish(throwing: error)
            }
        }
        // The descriptor may be closed only once the source has let go of it.
        source.setCancelHandler { withExtendedLifetime(inotify) {} }
        self.source?.cancel()
        self.source = source
        source.activate()
    }

    private func changed() {
        guard !isStopped else { return }
        let now = DispatchTime.now()
        let latest = deadline ?? now + quiet * 10
        deadline = latest
        timer?.cancel()
        let timer = DispatchSource.makeTimerSource(queue: queue)
        timer.schedule(deadline: min(now + quiet, latest), leeway: .milliseconds(5))
        timer.setEventHandler { [weak self] in
            self?.timer?.cancel()
            self?.timer = nil
            self?.deadline = nil
            self?.watchAnew()
        }
        self.timer = timer
        timer.activate()
    }
}

extension DispatchTimeInterval {
    fileprivate static func * (interval: Self, factor: Int) -> Self {
        if case .nanoseconds(let count) = interval { .nanoseconds(count * factor) } else { interval }
    }
}

/// `path` below the working directory, unless it is absolute.
func absolutePath(_ path: String) -> String {
    guard !path.hasPrefix("/"), let pointer = getcwd(nil, 0) else { return path }
    defer { free(pointer) }
    return "\(String(cString: pointer))/\(path)"
}
