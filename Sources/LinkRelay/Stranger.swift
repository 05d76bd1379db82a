import NIOCore
import Synchronization

/// A connection whose other end has not shown who it is: it has so much time, and is counted until then.
final class Stranger: Sendable {
    private let isCounted = Mutex(true)
    private let over: @Sendable () -> Void
    private let deadline: Scheduled<Void>

    init(_ channel: any Channel, patience: TimeAmount, over: @escaping @Sendable () -> Void) {
        self.over = over
        deadline = channel.eventLoop.scheduleTask(in: patience) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in self.isKnown() }
    }

    /// It showed who it is, or is gone.
    func isKnown() {
        deadline.cancel()
        let wasCounted = isCounted.withLock { isCounted in
            defer { isCounted = false }
            return isCounted
        }
        if wasCounted { over() }
    }
}
