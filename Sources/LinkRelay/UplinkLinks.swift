import LinkStreams
import NIOCore
import Synchronization

/// The links of one uplink, as those who accept connections for it choose among them. Any thread may ask.
final class UplinkLinks: Sendable {
    /// A link, to be used on its event loop.
    struct Link: Sendable {
        let eventLoop: any EventLoop
        let connection: NIOLoopBound<LinkConnection>
        let number: Int
    }

    private struct State {
        var links: [Link] = []
        var turn = 0
    }

    private let state = Mutex(State())

    func add(_ link: Link) { state.withLock { $0.links.append(link) } }

    func remove(_ number: Int) { state.withLock { $0.links.removeAll { $0.number == number } } }

    var all: [Link] { state.withLock(\.links) }

    /// The next in turn; nil when there is none.
    func next() -> Link? {
        state.withLock { state in
            guard !state.links.isEmpty else { return nil }
            state.turn = (state.turn + 1) % state.links.count
            return state.links[state.turn]
        }
    }

    /// Where links are.
    var eventLoops: [any EventLoop] {
        all.map(\.eventLoop).reduce(into: []) { loops, loop in if !loops.contains(where: { $0 === loop }) { loops.append(loop) } }
    }

    /// One on that event loop, where it can be used at once: the one with the fewest streams that takes another.
    func best(on eventLoop: any EventLoop) -> LinkConnection? {
        all.filter { $0.eventLoop === eventLoop }.map(\.connection.value).filter(\.mayOpen)
            .min { $0.openStreams < $1.openStreams }
    }
}
