import NIOCore
import WebSocketFrames

/// A WebSocket (RFC 6455) as a byte stream: what is written goes out in binary frames, and what comes in them is read, wherever
/// frames and messages begin and end. Pings are answered, a close is a close.
final class WebSocketBytes: ChannelDuplexHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Bytes of a frame of ours.
    private static let longestOwn = 64 << 10

    /// Clients mask what they send, servers do not (section 5.1).
    private let isClient: Bool
    private var reader: WebSocketFrameReader
    private var hasClosed = false

    init(isClient: Bool) {
        self.isClient = isClient
        reader = WebSocketFrameReader(.strict(isMasked: !isClient))
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !hasClosed else { return }
        var bytes = unwrapInboundIn(data)
        do throws(WebSocketFrameReader.Fault) {
            while let event = try reader.read(from: &bytes) { take(event, from: &bytes, context) }
        } catch {
            sayClose(code: error == .length ? 1009 : 1002, context)
            context.fireErrorCaught(error)
            context.close(mode: .all, promise: nil)
        }
    }

    private func take(_ event: WebSocketFrameReader.Event, from bytes: inout ByteBuffer, _ context: ChannelHandlerContext) {
        switch event {
        case .payload(let count, let mask): context.fireChannelRead(wrapInboundOut(bytes.readUnmasked(count, mask)))
        case .ping(let word):
            // Who sends pings and reads no answer gets none (section 5.5.3 asks for the last one only).
            if context.channel.isWritable { write(.pong, ByteBuffer(bytes: word), context) }
        case .close:
            sayClose(code: 1000, context)
            context.close(promise: nil)
        case .end, .pong: break
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        repeat {
            let piece = bytes.readSlice(length: min(bytes.readableBytes, Self.longestOwn)) ?? ByteBuffer()
            context.writeFrame(.binary, piece, isMasked: isClient, promise: bytes.readableBytes == 0 ? promise : nil)
        } while bytes.readableBytes > 0
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .all { sayClose(code: 1000, context) }
        context.close(mode: mode, promise: promise)
    }

    /// Section 7.4.1 has the codes.
    private func sayClose(code: UInt16, _ context: ChannelHandlerContext) {
        guard !hasClosed, context.channel.isActive else { return }
        hasClosed = true
        write(.close, ByteBuffer(integer: code), context)
    }

    private func write(_ kind: WebSocketFrameHeader.Kind, _ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        context.writeFrame(kind, bytes, isMasked: isClient, promise: nil)
        context.flush()
    }
}
