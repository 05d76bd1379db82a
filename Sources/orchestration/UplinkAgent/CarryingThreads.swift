import NIOCore
import NIOPosix
import Synchronization

/// The event loops of what this process carries itself: links, and connections of hosts by name. There are none until somebody asks, since
/// most uplinks carry nothing: nf_tables does.
final class CarryingThreads: Sendable {
    /// More than processors would only take turns.
    private static let most = 4

    private let group = Mutex<MultiThreadedEventLoopGroup?>(nil)

    /// Makes it where there is none.
    var eventLoops: any EventLoopGroup {
        group.withLock { group in
            if let group { return group }
            let made = MultiThreadedEventLoopGroup(numberOfThreads: min(System.coreCount, Self.most))
            group = made
            return made
        }
    }

    func end() async throws { try await group.withLock(\.self)?.shutdownGracefully() }
}
