import LinkCarriers
import LinkStreams
import NIOCore
import SSH

/// A `SocketTunnel` in a pipeline: sshd's bytes below it, the socket's above.
///
/// The server's window bounds what goes to it; what waits for that is told up the pipeline (`CarrierRoom`).
final class TunnelBytes: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes that wait for the server's window, from which on no more are wanted, and to which they must have gone for more.
    private static let most = 256 << 10
    private static let least = 64 << 10
    /// Bytes read at once: packets of an SSH channel have 32 KiB.
    private static let readSize = 64 << 10
    /// Bytes of answers that the server made this side write while it took none.
    private static let mostAnswers = 1 << 20

    private let tunnel: SocketTunnel
    private let edge: String
    private var opened: EventLoopPromise<Void>?
    private var isOpen = false
    private var isOver = false
    private var waiting = CircularBuffer<(bytes: ByteBuffer, promise: EventLoopPromise<Void>?)>()
    private var waitingBytes = 0
    private var isFull = false
    private var answers = 0
    /// Within a `channelRead` the channel itself tells of the end of reading.
    private var isReading = false
    private var isStepping = false

    init(_ tunnel: SocketTunnel, edge: String, opened: EventLoopPromise<Void>) {
        self.tunnel = tunnel
        self.edge = edge
        self.opened = opened
    }

    // MARK: the channel

    func handlerAdded(context: ChannelHandlerContext) {
        if context.channel.isActive { step(context) }
    }

    func channelActive(context: ChannelHandlerContext) {
        step(context)
        context.fireChannelActive()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        isReading = true
        unwrapInboundIn(data).withUnsafeReadableBytes { tunnel.take($0) }
        step(context)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        context.fireChannelReadComplete()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable {
            answers = 0
            step(context, isSending: true)
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        end(stranger ?? LinkCarrierError(.ssh(edge), cause: "the server closed the connection"))
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard opened != nil else { return context.fireErrorCaught(error) }
        end(LinkCarrierError(.ssh(edge), cause: "\(error)"))
        context.close(promise: nil)
    }

    func handlerRemoved(context: ChannelHandlerContext) { end(ChannelError.ioOnClosedChannel) }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        let bytes = unwrapOutboundIn(data)
        guard !isOver else {
            promise?.fail(ChannelError.ioOnClosedChannel)
            return
        }
        waiting.append((bytes, promise))
        waitingBytes += bytes.readableBytes
    }

    /// Nothing is told up the pipeline from here but what room there is: who flushes is not ready for bytes, and there are none, for what
    /// came was delivered when it came.
    func flush(context: ChannelHandlerContext) { step(context, isSending: true) }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if !isOver {
            tunnel.disconnect()
            writeOutput(context)
            context.flush()
            // Whoever waits for it waits no more.
            end(stranger ?? LinkCarrierError(.ssh(edge), cause: "the server did not answer in time"))
        }
        context.close(mode: .all, promise: promise)
    }

    private var stranger: LinkCarrierError? { tunnel.stranger.map { LinkCarrierError($0, by: edge) } }

    private func end(_ error: any Error) {
        isOver = true
        let (opened, waiting) = (opened, waiting)
        self.opened = nil
        self.waiting.removeAll()
        waitingBytes = 0
        opened?.fail(error)
        for entry in waiting { entry.promise?.fail(error) }
    }

    // MARK: the tunnel

    /// Goes on as far as it can. What is told up the pipeline may write and flush meanwhile: that is done in the round after.
    private func step(_ context: ChannelHandlerContext, isSending: Bool = false) {
        guard !isStepping, !isOver, isOpen || !isSending else { return }
        isStepping = true
        defer { isStepping = false }
        do {
            if try !isOpen && tunnel.advance() != .opening {
                isOpen = true
                // Whoever waits adds the next handlers now, before any byte comes.
                opened?.succeed()
                opened = nil
            }
            if isSending {
                _ = try pump(context)
            } else {
                while !isOver, try deliver(context) || pump(context) {}
            }
            if !isOver {
                writeOutput(context)
                context.flush()
                tellRoom(context)
            }
            // What came before the end has been delivered.
            if !isOver, !isSending, isOpen, try tunnel.advance() == .ended { context.close(promise: nil) }
        } catch {
            let cause = (error as? SSHError).map { LinkCarrierError($0, by: edge) as any Error } ?? error
            let isWaitedFor = opened != nil
            end(cause)
            if !isWaitedFor { context.fireErrorCaught(cause) }
            context.close(promise: nil)
        }
    }

    /// - Returns: whether there was anything.
    private func deliver(_ context: ChannelHandlerContext) throws -> Bool {
        guard isOpen else { return false }
        var isAny = false
        while !isOver {
            var buffer = context.channel.allocator.buffer(capacity: Self.readSize)
            let count = try buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: Self.readSize) { try tunnel.read(into: $0) }
            if count == 0 { break }
            isAny = true
            context.fireChannelRead(wrapInboundOut(buffer))
        }
        if isAny, !isReading, !isOver { context.fireChannelReadComplete() }
        return isAny
    }

    /// - Returns: whether anything went to the server.
    private func pump(_ context: ChannelHandlerContext) throws -> Bool {
        guard isOpen else { return false }
        var isAny = false
        while !isOver, context.channel.isWritable, let next = waiting.first {
            let count = try next.bytes.withUnsafeReadableBytes { try $0.isEmpty ? 0 : tunnel.write($0) }
            if count == 0, next.bytes.readableBytes > 0 { break }
            isAny = true
            waitingBytes -= count
            if count == next.bytes.readableBytes {
                waiting.removeFirst()
                next.promise?.succeed()
            } else {
                waiting[waiting.startIndex].bytes.moveReaderIndex(forwardBy: count)
            }
            writeOutput(context, isAnswer: false)
        }
        return isAny
    }

    private func writeOutput(_ context: ChannelHandlerContext, isAnswer: Bool = true) {
        tunnel.takeOutput { bytes in
            if isAnswer, !context.channel.isWritable { answers += bytes.count }
            context.write(wrapOutboundOut(context.channel.allocator.buffer(bytes: bytes)), promise: nil)
        }
        guard answers > Self.mostAnswers, !isOver else { return }
        let error = LinkCarrierError(.ssh(edge), cause: "the server asks for answers and takes none")
        end(error)
        context.fireErrorCaught(error)
        context.close(promise: nil)
    }

    private func tellRoom(_ context: ChannelHandlerContext) {
        let isNowFull = isFull ? waitingBytes > Self.least : waitingBytes > Self.most
        guard isNowFull != isFull else { return }
        isFull = isNowFull
        context.fireUserInboundEventTriggered(isNowFull ? CarrierRoom.full : CarrierRoom.free)
    }
}
