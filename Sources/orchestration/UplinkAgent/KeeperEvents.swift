import NetworkTypes
import Synchronization

/// What the keeper reacts to.
///
/// A keeper that is held up finds one of each kind, however many came: its look at files, device and clock is a whole one each time.
final class KeeperEvents: Sendable {
    enum Event: Equatable, Sendable {
        case filesChanged
        case tick
        /// Empty with the reason. One look-up runs at a time.
        case resolved(HostAddress, [IPAddress], UplinkError?)
    }

    let stream: AsyncStream<Event>
    private let source: AsyncStream<Event>.Continuation
    private let waiting = Mutex((filesChanged: false, tick: false))

    init() { (stream, source) = AsyncStream.makeStream() }

    func send(_ event: Event) {
        let isNew = waiting.withLock { waiting in
            switch event {
            case .filesChanged:
                defer { waiting.filesChanged = true }
                return !waiting.filesChanged
            case .tick:
                defer { waiting.tick = true }
                return !waiting.tick
            case .resolved: return true
            }
        }
        if isNew { source.yield(event) }
    }

    /// The keeper begins with this event: what is sent from now on is another.
    func took(_ event: Event) {
        waiting.withLock { waiting in
            switch event {
            case .filesChanged: waiting.filesChanged = false
            case .tick: waiting.tick = false
            case .resolved: break
            }
        }
    }
}
