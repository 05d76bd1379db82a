import LinkProtocol
import NodeDocument
import Synchronization

/// What the links shall be and lead to: the keeper of the documents writes it, whoever keeps the links and each new stream reads it.
final class LinkTable: Sendable {
    private let state = Mutex<(forwards: LinkForwards, demand: LinkDemand?)>((LinkForwards(), nil))
    /// The demand may be another.
    let changes: AsyncStream<Void>
    private let source: AsyncStream<Void>.Continuation

    init() { (changes, source) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1)) }

    func take(_ part: UplinkPart) {
        let forwards = LinkForwards(part.content)
        state.withLock { $0 = (forwards, part.links) }
        source.yield()
    }

    func wake() { source.yield() }

    var demand: LinkDemand? { state.withLock(\.demand) }

    func destination(of header: StreamHeader) -> LinkForwards.Destination? {
        state.withLock { $0.forwards.destination(of: header, chance: Double.random(in: 0..<1)) }
    }
}
