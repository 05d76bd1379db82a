import HummingbirdCore
import Logging
import NIOCore
import NIOSSL
import NIOTLS

/// How long a connection may keep a server waiting.
struct ConnectionLimits: Sendable {
    /// At once; more wait in the backlog.
    var connections: Int
    /// Without a request under way, and until the head of the first is complete.
    var idle: TimeAmount
    /// Of TLS.
    var handshake = TimeAmount.seconds(10)
    /// At shutdown, for requests under way; and after an answer, for a body that nobody wants.
    var farewell = TimeAmount.seconds(5)

    /// Of all header fields of a request; a bearer token of OIDC takes some kilobytes.
    static let headerBytes = 32 * 1024
    static let headerFields = 100
}

/// A channel whose connections end in time: those that never finish a TLS handshake, that say nothing, or that keep a
/// shutdown waiting. Hummingbird's own timer begins with HTTP, and its HTTP/2 waits for a client's acknowledgement.
struct GuardedChannel<Base: ServerChildChannel>: ServerChildChannel {
    let base: Base
    let limits: ConnectionLimits

    func setup(channel: any Channel, logger: Logger) -> EventLoopFuture<Base.Value> {
        base.setup(channel: channel, logger: logger).flatMapThrowing { value in
            let pipeline = channel.pipeline.syncOperations
            if let tls = try? pipeline.handler(type: NIOSSLServerHandler.self) {
                try pipeline.addHandler(ConnectionGuard(limits: limits, awaitsHandshake: true), position: .after(tls))
            } else {
                try pipeline.addHandler(ConnectionGuard(limits: limits, awaitsHandshake: false), position: .first)
            }
            return value
        }
    }

    func handle(value: Base.Value, logger: Logger) async { await base.handle(value: value, logger: logger) }
}

/// Closes a connection that is over its time. It stands where TLS is done with.
private final class ConnectionGuard: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let limits: ConnectionLimits
    private var awaitsHandshake: Bool
    private var deadline: Scheduled<Void>?
    private var isLeaving = false

    init(limits: ConnectionLimits, awaitsHandshake: Bool) {
        self.limits = limits
        self.awaitsHandshake = awaitsHandshake
    }

    func handlerAdded(context: ChannelHandlerContext) {
        // Twice the idle time: whoever idles in HTTP is sent away politely before.
        close(context, in: awaitsHandshake ? limits.handshake : limits.idle * 2)
    }

    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if !isLeaving && !awaitsHandshake { close(context, in: limits.idle * 2) }
        context.fireChannelRead(data)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case TLSUserEvent.handshakeCompleted:
            awaitsHandshake = false
            if !isLeaving { close(context, in: limits.idle * 2) }
        case is ChannelShouldQuiesceEvent:
            isLeaving = true
            if awaitsHandshake {
                context.close(promise: nil)
            } else {
                close(context, in: limits.farewell)
            }
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }
}
