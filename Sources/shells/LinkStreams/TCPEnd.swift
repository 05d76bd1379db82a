import Glibc
import LinkProtocol
import NIOCore
import NIOPosix

/// Joins a TCP connection and a stream: half-closes become half-closes, resets become resets, and who does not read is not read from.
final class TCPEnd: ChannelInboundHandler, StreamEnd {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes read from the connection that may wait for the link, at most, before it is read on.
    static let readAhead = 128 << 10

    private let link: LinkConnection
    private let id: StreamID
    private var context: ChannelHandlerContext?
    /// The connection, from the first try on.
    private var channel: (any Channel)?
    /// What came before the connection was up; the window bounds it.
    private var early: [ByteBuffer] = []
    /// Bytes written and not yet taken by the system.
    private var unwritten = 0
    private var hasReadEnd = false
    private var hasPeerEnd = false
    /// Whether the peer's end was handed on.
    private var hasEnded = false
    private var isOver = false
    private var isReadPending = false

    init(_ link: LinkConnection, _ id: StreamID) {
        self.link = link
        self.id = id
    }

    // MARK: the connection

    func handlerAdded(context: ChannelHandlerContext) {
        // What is over before its connection came about needs none.
        guard !isOver else { return context.close(promise: nil) }
        channel = context.channel
        if context.channel.isActive { begin(context) }
    }

    func channelActive(context: ChannelHandlerContext) { begin(context) }

    private func begin(_ context: ChannelHandlerContext) {
        guard self.context == nil else { return }
        guard !isOver else { return Self.abort(context.channel) }
        self.context = context
        // From here on: so that a link program that is killed leaves a reset behind, and no clean end.
        Self.setReset(context.channel, true)
        let early = early
        self.early = []
        for buffer in early { write(buffer, context) }
        context.flush()
        endOutputIfDue()
        readOn()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        isReadPending = false
        link.send(unwrapInboundIn(data), on: id)
    }

    func channelReadComplete(context: ChannelHandlerContext) { readOn() }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent, !hasReadEnd else { return }
        hasReadEnd = true
        link.end(id)
        finishIfBothEnded()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { abort() }

    /// After our end the peer's closes the channel, and nothing tells of it but this.
    func channelInactive(context: ChannelHandlerContext) {
        guard hasEnded, !hasReadEnd, !isOver else { return abort() }
        hasReadEnd = true
        link.end(id)
        finishIfBothEnded()
    }

    private func readOn() {
        guard let context, !hasReadEnd, !isReadPending, link.waiting(on: id) < Self.readAhead else { return }
        isReadPending = true
        context.read()
    }

    /// Resets both.
    private func abort() {
        guard !isOver else { return }
        link.reset(id)
        receivedReset()
    }

    // MARK: the stream

    func received(_ payload: ByteBuffer) {
        guard let context else { return early.append(payload) }
        write(payload, context)
    }

    private func write(_ payload: ByteBuffer, _ context: ChannelHandlerContext) {
        let count = payload.readableBytes
        unwritten += count
        // A slice keeps the whole buffer that it was read into; what is short is not worth that while it waits.
        let bytes = count < 16 << 10 && unwritten > count ? ByteBuffer(bytes: payload.readableBytesView) : payload
        let promise = context.eventLoop.makePromise(of: Void.self)
        promise.futureResult.assumeIsolated().whenSuccess { self.wrote(count) }
        context.write(wrapOutboundOut(bytes), promise: promise)
    }

    private func wrote(_ count: Int) {
        unwritten -= count
        guard !isOver else { return }
        link.consumed(count, on: id)
        endOutputIfDue()
    }

    func receivedAll() { context?.flush() }

    func receivedEnd() {
        hasPeerEnd = true
        context?.flush()
        endOutputIfDue()
    }

    func receivedReset() {
        guard !isOver else { return }
        isOver = true
        early = []
        if let channel { Self.abort(channel) }
        (context, channel) = (nil, nil)
    }

    func mayReadOn(waiting: Int) {
        if waiting < Self.readAhead { readOn() }
        finishIfBothEnded()
    }

    /// Dialing came to nothing.
    func failed() { abort() }

    private func endOutputIfDue() {
        guard hasPeerEnd, unwritten == 0, early.isEmpty, !hasEnded, let context, !isOver else { return }
        hasEnded = true
        Self.setReset(context.channel, false)
        if !hasReadEnd { context.close(mode: .output, promise: nil) }
        finishIfBothEnded()
    }

    private func finishIfBothEnded() {
        guard hasReadEnd, hasEnded, link.waiting(on: id) == 0, let context, !isOver else { return }
        isOver = true
        (self.context, channel) = (nil, nil)
        link.forget(id)
        context.close(promise: nil)
    }

    /// Closes so that the other end sees a reset.
    static func abort(_ channel: any Channel) {
        setReset(channel, true)
        channel.close(promise: nil)
    }

    /// Whether closing the connection resets it: SO_LINGER of 0 (socket(7)).
    private static func setReset(_ channel: any Channel, _ resets: Bool) {
        let option = linger(l_onoff: resets ? 1 : 0, l_linger: 0)
        // Done before it returns, on the channel's event loop; a socket that is closed already needs none.
        _ = (channel as? any SocketOptionProvider)?.setSoLinger(option)
    }
}
