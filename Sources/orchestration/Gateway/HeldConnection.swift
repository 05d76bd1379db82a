import LinkStreams
import NIOCore
import NIOPosix

/// A connection that waits to be joined to another. What comes meanwhile is kept: at its other side's end a channel is read to the end, whether
/// anybody asks for it or not. On its event loop.
final class HeldConnection: Sendable {
    /// Bytes that the kernel takes of a connection that waits, which is what is kept of it at most.
    static let receiveBuffer = 256 << 10

    let channel: any Channel
    private let hold: NIOLoopBound<Hold>

    /// - Parameter opened: called once it is open, if it is not yet.
    init(_ channel: any Channel, opened: @escaping (HeldConnection) -> Void = { _ in }) throws {
        self.channel = channel
        let hold = Hold()
        self.hold = NIOLoopBound(hold, eventLoop: channel.eventLoop)
        hold.opened = { [weak self] in if let self { opened(self) } }
        try channel.pipeline.syncOperations.addHandler(hold)
    }

    /// Closes so that its other side sees a reset.
    func abort() { LinkConnection.abort(channel) }

    /// Joins it to another, whose pipeline ends in bytes.
    func join(_ other: any Channel) throws {
        do {
            try SpliceEnd.join(channel, other)
            release()
        } catch {
            abort()
            throw error
        }
    }

    /// Gives what was kept to the handlers behind.
    func release() { channel.pipeline.syncOperations.removeHandler(hold.value, promise: nil) }

    private final class Hold: ChannelInboundHandler, RemovableChannelHandler {
        typealias InboundIn = ByteBuffer
        typealias InboundOut = ByteBuffer

        var opened: () -> Void = {}
        private var kept: [ByteBuffer] = []
        private var hasEnded = false

        func channelActive(context: ChannelHandlerContext) {
            context.fireChannelActive()
            opened()
            opened = {}
        }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) { kept.append(unwrapInboundIn(data)) }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
            hasEnded = true
        }

        func removeHandler(context: ChannelHandlerContext, removalToken: ChannelHandlerContext.RemovalToken) {
            for bytes in kept { context.fireChannelRead(wrapInboundOut(bytes)) }
            if !kept.isEmpty { context.fireChannelReadComplete() }
            kept = []
            if hasEnded { context.fireUserInboundEventTriggered(ChannelEvent.inputClosed) }
            context.leavePipeline(removalToken: removalToken)
        }
    }
}
