import LinkStreams
import NIOCore

/// One of two connections that are joined: what comes by one goes out by the other, who does not read is not read from, an end is an end and
/// a reset a reset. Both on one event loop.
final class SpliceEnd: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var partner: SpliceEnd?
    private var context: ChannelHandlerContext?
    private var isReadPending = false
    /// The other side said that it sends no more.
    private var hasReadEnd = false
    /// The same was said to it.
    private var hasWrittenEnd = false
    private var isOver = false
    /// Bytes written and not yet taken by the system.
    private var unwritten = 0
    /// What comes behind them; nil for nothing yet.
    private var closing: CloseMode?

    /// Joins two channels that are open, whose pipelines end in bytes.
    static func join(_ first: any Channel, _ second: any Channel) throws {
        let (one, other) = (SpliceEnd(), SpliceEnd())
        (one.partner, other.partner) = (other, one)
        do {
            try first.pipeline.syncOperations.addHandler(one)
            try second.pipeline.syncOperations.addHandler(other)
            for channel in [first, second] { try channel.syncOptions?.setOption(.autoRead, value: true) }
        } catch {
            one.abort()
            other.abort()
            throw error
        }
        guard first.isActive, second.isActive else {
            one.abort()
            return other.abort()
        }
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func handlerRemoved(context: ChannelHandlerContext) { (self.context, partner) = (nil, nil) }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { partner?.write(unwrapInboundIn(data)) }

    func channelReadComplete(context: ChannelHandlerContext) {
        partner?.context?.flush()
        context.fireChannelReadComplete()
    }

    private func write(_ bytes: ByteBuffer) {
        guard !hasWrittenEnd, let context else { return }
        let count = bytes.readableBytes
        unwritten += count
        let promise = context.eventLoop.makePromise(of: Void.self)
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        promise.futureResult.whenComplete { _ in
            bound.value.unwritten -= count
            bound.value.closeIfDue()
        }
        context.write(wrapOutboundOut(bytes), promise: promise)
    }

    private func closeIfDue() {
        guard unwritten == 0, let closing, let context else { return }
        self.closing = nil
        context.close(mode: closing, promise: nil)
    }

    // MARK: no more than the other side takes

    func read(context: ChannelHandlerContext) {
        if partner?.context?.channel.isWritable ?? true { context.read() } else { isReadPending = true }
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { partner?.readOn() }
        context.fireChannelWritabilityChanged()
    }

    private func readOn() {
        guard isReadPending else { return }
        isReadPending = false
        context?.read()
    }

    // MARK: the end

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent else { return context.fireUserInboundEventTriggered(event) }
        readEnd()
    }

    private func readEnd() {
        guard !hasReadEnd else { return }
        hasReadEnd = true
        partner?.writeEnd()
    }

    private func writeEnd() {
        guard !hasWrittenEnd, let context else { return }
        hasWrittenEnd = true
        closing = .output
        context.flush()
        closeIfDue()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // The other half of a connection that was half closed.
        if case .outputClosed? = error as? ChannelError { return }
        // All that it sent has come, and goes out: of a WebSocket's client that closes at once a reset follows its end.
        if hasReadEnd {
            partner?.finish()
            return abort()
        }
        abortBoth()
    }

    func channelInactive(context: ChannelHandlerContext) {
        // After our end the peer's closes the channel, and nothing tells of it but this.
        if hasWrittenEnd {
            readEnd()
        } else if hasReadEnd {
            partner?.finish()
        } else {
            abortBoth()
        }
        isOver = true
        context.fireChannelInactive()
    }

    /// Nothing that comes can go anywhere any more; what was written goes out.
    private func finish() {
        guard !isOver, let context else { return }
        isOver = true
        closing = .all
        context.flush()
        closeIfDue()
    }

    func abortBoth() {
        partner?.abort()
        abort()
    }

    private func abort() {
        guard !isOver, let context else { return }
        isOver = true
        LinkConnection.abort(context.channel)
    }
}
