public import LinkStreams
public import NIOCore
public import Sodium
import Synchronization

extension LinkRelay {
    /// As `link(of:on:)`, but one that is preferred where such a one answers.
    public func link(
        of pin: SHA256Digest, on eventLoop: any EventLoop, preferring isPreferred: (LinkConnection) -> Bool
    ) -> LinkConnection? {
        let served = state.withLock { state in state.served.first { $0.key.pin == pin }?.value }
        guard let served, served.isReady else { return nil }
        let preferred = served.links.all.filter { $0.eventLoop === eventLoop }.map(\.connection.value).filter {
            $0.mayOpen && served.links.isAnswering($0) && isPreferred($0)
        }
        return preferred.min { $0.openStreams < $1.openStreams } ?? served.links.best(on: eventLoop)
    }
}
