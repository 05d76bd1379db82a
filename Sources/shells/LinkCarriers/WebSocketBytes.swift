import NIOCore
import NIOWebSocket

/// A WebSocket (RFC 6455) as a byte stream: what is written goes out in binary frames, and what comes in them is read, wherever
/// frames and messages begin and end. Pings are answered, a close is a close.
final class WebSocketBytes: ChannelDuplexHandler {
    typealias InboundIn = WebSocketFrame
    typealias InboundOut = ByteBuffer
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = WebSocketFrame

    /// Bytes of a frame that comes, at most: it is read as a whole. Those of ours are shorter.
    static let longestFrame = 128 << 10
    private static let longestOwn = 64 << 10

    enum Violation: Error, CustomStringConvertible {
        case masking, text, continuation, extensionBits

        var description: String {
            switch self {
            case .masking: "the WebSocket's peer masks wrongly"
            case .text: "the WebSocket's peer sends text"
            case .continuation: "the WebSocket's peer continues what it did not begin"
            case .extensionBits: "the WebSocket's peer uses an extension"
            }
        }
    }

    /// Clients mask what they send, servers do not (section 5.1).
    private let isClient: Bool
    private var isWithinMessage = false
    private var hasClosed = false

    init(isClient: Bool) { self.isClient = isClient }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let frame = unwrapInboundIn(data)
        do {
            try take(frame, context)
        } catch {
            sayClose(.protocolError, context)
            context.fireErrorCaught(error)
            context.close(mode: .all, promise: nil)
        }
    }

    private func take(_ frame: WebSocketFrame, _ context: ChannelHandlerContext) throws(Violation) {
        guard (frame.maskKey != nil) == !isClient || frame.length == 0 else { throw .masking }
        guard !frame.rsv1, !frame.rsv2, !frame.rsv3 else { throw .extensionBits }
        switch frame.opcode {
        case .binary, .continuation:
            guard (frame.opcode == .continuation) == isWithinMessage else { throw .continuation }
            isWithinMessage = !frame.fin
            if frame.length > 0 { context.fireChannelRead(wrapInboundOut(frame.unmaskedData)) }
        case .ping:
            // Who sends pings and reads no answer gets none (section 5.5.3 asks for the last one only).
            if context.channel.isWritable { write(.pong, frame.unmaskedData, context) }
        case .connectionClose:
            sayClose(.normalClosure, context)
            context.close(promise: nil)
        case .pong: break
        default: throw .text
        }
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = unwrapOutboundIn(data)
        guard bytes.readableBytes > Self.longestOwn else {
            return context.write(wrapOutboundOut(frame(.binary, bytes)), promise: promise)
        }
        while let piece = bytes.readSlice(length: min(bytes.readableBytes, Self.longestOwn)), piece.readableBytes > 0 {
            context.write(wrapOutboundOut(frame(.binary, piece)), promise: bytes.readableBytes == 0 ? promise : nil)
        }
    }

    func close(context: ChannelHandlerContext, mode: CloseMode, promise: EventLoopPromise<Void>?) {
        if mode == .all { sayClose(.normalClosure, context) }
        context.close(mode: mode, promise: promise)
    }

    private func sayClose(_ code: WebSocketErrorCode, _ context: ChannelHandlerContext) {
        guard !hasClosed, context.channel.isActive else { return }
        hasClosed = true
        var reason = ByteBuffer()
        reason.write(webSocketErrorCode: code)
        write(.connectionClose, reason, context)
    }

    private func write(_ opcode: WebSocketOpcode, _ bytes: ByteBuffer, _ context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(frame(opcode, bytes)), promise: nil)
    }

    private func frame(_ opcode: WebSocketOpcode, _ bytes: ByteBuffer) -> WebSocketFrame {
        WebSocketFrame(fin: true, opcode: opcode, maskKey: isClient ? .random() : nil, data: bytes)
    }
}
