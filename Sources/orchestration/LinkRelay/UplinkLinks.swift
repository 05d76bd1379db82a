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
    /// Of those that do not answer just now.
    private let doubted = Mutex<Set<Int>>([])

    func add(_ link: Link) { links.withLock { $0.append(link) } }

    /// Returns what it was; nil where there is none of that number.
    @discardableResult
    func remove(_ number: Int) -> Link? {
        doubt(number, false)
        return links.withLock { links in links.firstIndex { $0.number == number }.map { links.remove(at: $0) } }
    }

    func doubt(_ number: Int, _ isDoubted: Bool) {
        doubted.withLock { if isDoubted { $0.insert(number) } else { $0.remove(number) } }
    }

    private var answering: [Link] {
        let doubted = doubted.withLock(\.self)
        return doubted.isEmpty ? all : all.filter { !doubted.contains($0.number) }
    }

    /// Those that answer; all where none does.
    private var trusted: [Link] {
        let answering = answering
        return answering.isEmpty ? all : answering
    }

    var all: [Link] { links.withLock(\.self) }

    var isAnswering: Bool { !answering.isEmpty }

    /// On the link's event loop.
    func isAnswering(_ link: LinkConnection) -> Bool {
        answering.contains { $0.eventLoop.inEventLoop && $0.connection.value === link }
    }

    /// Where links are that answer, or any where none does.
    var eventLoops: [any EventLoop] {
        trusted.map(\.eventLoop).reduce(into: []) { loops, loop in
            if !loops.contains(where: { $0 === loop }) { loops.append(loop) }
        }
    }

    /// One on that event loop, where it can be used at once: the one with the fewest streams that takes another, of those that answer, or of all
    /// where none there does. One that is preferred comes before those that are not.
    func best(on eventLoop: any EventLoop, preferring isPreferred: (LinkConnection) -> Bool = { _ in true }) -> LinkConnection? {
        let answering = answering.filter { $0.eventLoop === eventLoop }
        let here = (answering.isEmpty ? all.filter { $0.eventLoop === eventLoop } : answering).map(\.connection.value)
        let open = here.filter(\.mayOpen)
        let preferred = open.filter(isPreferred)
        return (preferred.isEmpty ? open : preferred).min { $0.openStreams < $1.openStreams }
    }
}
