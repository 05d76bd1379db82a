import NetworkTypes

/// What the keeper reacts to.
struct KeeperEvents: Sendable {
    enum Event: Sendable {
        case filesChanged
        case tick
        /// Empty with the reason.
        case resolved(HostAddress, [IPAddress], UplinkError?)
    }

    let stream: AsyncStream<Event>
    private let source: AsyncStream<Event>.Continuation

    init() { (stream, source) = AsyncStream.makeStream() }
    func send(_ event: Event) { source.yield(event) }
}
