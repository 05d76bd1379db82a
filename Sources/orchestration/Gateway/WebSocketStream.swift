import LinkCarriers
import NIOCore
import WebSocketFrames

/// A WebSocket whose client is wstunnel's or rathole's, on the server's side: its payload is bytes, or each of its messages a datagram.
final class WebSocketStream: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    enum Content {
        case bytes
        case datagrams
    }

    /// Between two pings of ours; a client that answers none of three is gone.
    private static let ping = TimeAmount.seconds(30)
    private static let mostUnanswered = 3
    /// Bytes; a longer message is no datagram.
    private static let longestDatagram = 65_535
    /// Bytes of a frame of ours.
    private static let longestOwn = 64 << 10
    /// From our close to the end of the connection.
    private static let farewell = TimeAmount.seconds(5)

    private let content: Content
    /// Clients of rathole fail at a ping.
    private let pings: Bool
    private var reader = WebSocketFrameReader()
    private var datagram = ByteBuffer()
    private var unanswered = 0
    private var alarm: RepeatedTask?
    private var hasClosed = false

    init(_ content: Content, pings: Bool) {
        self.content = content
        self.pings = pings
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard pings else { return }
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        alarm = context.eventLoop.scheduleRepeatedTask(initialDelay: Self.ping, delay: Self.ping) { _ in
            let (stream, context) = bound.value
            guard stream.unanswered < Self.mostUnanswered else { return context.close(mode: .all, promise: nil) }
            stream.unanswered += 1
            context.writeFrame(.ping, ByteBuffer(), isMasked: false, promise: nil)
            context.flush()
        }
    }

    func handlerRemoved(context: ChannelHandlerContext) { alarm?.cancel() }

    func channelInactive(context: ChannelHandlerContext) {
        alarm?.cancel()
        context.fireChannelInactive()
    }

    // MARK: in

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        var bytes = unwrapInboundIn(data)
        do throws(WebSocketFrameReader.Fault) {
            while let event = try reader.read(from: &bytes) { try take(event, from: &bytes, context) }
        } catch {
            context.fireErrorCaught(error)
            context.close(promise: nil)
        }
    }

    private func take(
        _ event: WebSocketFrameReader.Event, from bytes: inout ByteBuffer, _ context: ChannelHandlerContext
    ) throws(WebSocketFrameReader.Fault) {
        switch event {
        case .payload(let count, let mask):
            let payload = bytes.readUnmasked(count, mask)
            switch content {
            case .bytes: context.fireChannelRead(wrapInboundOut(payload))
            case .datagrams:
                guard datagram.readableBytes + count <= Self.longestDatagram else { throw .length }
                datagram.writeImmutableBuffer(payload)
            }
        case .end:
            guard content == .datagrams else { return }
            context.fireChannelRead(wrapInboundOut(datagram))
            datagram = ByteBuffer()
        case .ping(let word):
            // Who sends pings and reads no answer gets none.
            guard context.channel.isWritable else { return }
            context.writeFrame(.pong, ByteBuffer(bytes: word), isMasked: false, promise: nil)
            context.flush()
        case .pong: unanswered = 0
        case .close:
            context.fireChannelReadComplete()
            context.fireUserInboundEventTriggered(ChannelEvent.inputClosed)
            sayClose(context)
        }
    }

    // MARK: out

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        guard content == .bytes else {
            return context.writeFrame(.binary, bytes, isMasked: false, promise: promise)
        }
        guard bytes.readableBytes > 0 else {
            promise?.succeed()
            return
        }
        while let piece = bytes.readSlice(length: min(bytes.readableBytes, Self.longestOwn)), piece.readableBytes > 0 {
            context.writeFrame(.binary, piece, isMasked: false, promise: bytes.readableBytes == 0 ? promise : nil)
        }
    }

    /// There are no half closes here: an end of what is sent is a close, and ends both ways.
    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        guard mode == .output else { return context.close(mode: mode, promise: promise) }
        sayClose(context)
        promise?.succeed()
    }

    private func sayClose(_ context: ChannelHandlerContext) {
        guard !hasClosed, context.channel.isActive else { return }
        hasClosed = true
        let channel = context.channel
        let said = channel.eventLoop.makePromise(of: Void.self)
        // 1000: a normal end (RFC 6455, section 7.4.1). Servers mask nothing.
        context.writeFrame(.close, ByteBuffer(integer: UInt16(1000)), isMasked: false, promise: said)
        context.flush()
        said.futureResult.whenComplete { _ in
            guard channel.isActive else { return }
            // Whoever closed first waits for the other.
            channel.eventLoop.scheduleTask(in: Self.farewell) { channel.close(promise: nil) }
        }
    }
}
