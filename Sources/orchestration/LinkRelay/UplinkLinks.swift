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
        /// Who connected to Envoy; nil where it did not come by Envoy.
        let source: String?
    }

    private let links = Mutex<[Link]>([])

    func add(_ link: Link) { links.withLock { $0.append(link) } }

    func remove(_ number: Int) { links.withLock { $0.removeAll { $0.number == number } } }

    var all: [Link] { links.withLock(\.self) }

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
