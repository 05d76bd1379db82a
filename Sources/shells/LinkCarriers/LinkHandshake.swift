import LinkProtocol
public import NIOCore
public import NIOSSL
import NIOTLS
public import Sodium

/// Waits for the link's TLS to be done, then says who is at the other end; whoever is not, or is too slow, is cut off.
///
/// Stands right behind the TLS handler. What `ready` adds to the pipeline gets all bytes that came.
public final class LinkHandshake: ChannelInboundHandler, RemovableChannelHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer

    private let tls: NIOSSLHandler
    private let ready: (any Channel, SHA256Digest) throws -> Void
    private let failed: (LinkCarrierError) -> Void
    private let timeout: TimeAmount
    private var isDone = false
    private var deadline: Scheduled<Void>?

    /// Of `ready` and `failed` one is called, once, on the channel's event loop.
    public init(
        _ tls: NIOSSLHandler, timeout: TimeAmount = .seconds(10), ready: @escaping (any Channel, SHA256Digest) throws -> Void,
        failed: @escaping (LinkCarrierError) -> Void
    ) {
        self.tls = tls
        self.timeout = timeout
        self.ready = ready
        self.failed = failed
    }

    public func handlerAdded(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        deadline = context.eventLoop.scheduleTask(in: timeout) { [timeout] in
            let (handshake, context) = bound.value
            handshake.fail(.innerTLS, cause: "no end after \(timeout.nanoseconds / 1_000_000_000) s", context)
        }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted(let name)? = event as? TLSUserEvent, !isDone else {
            return context.fireUserInboundEventTriggered(event)
        }
        guard name == LinkVersion.protocolName else {
            return fail(.innerTLS, cause: "the peer speaks no protocol of ours", context)
        }
        guard let pin = PinnedTLS.peerPin(of: tls) else { return fail(.pin, cause: "the peer shows no key", context) }
        finish()
        do {
            try ready(context.channel, pin)
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isPin = "\(error)".contains("CERTIFICATE_VERIFY_FAILED")
        fail(isPin ? .pin : .innerTLS, cause: isPin ? "its key is another than the pinned one" : "\(error)", context)
    }

    public func channelInactive(context: ChannelHandlerContext) {
        fail(.innerTLS, cause: "the peer broke off", context)
        context.fireChannelInactive()
    }

    private func fail(_ step: LinkCarrierError.Step, cause: String, _ context: ChannelHandlerContext) {
        guard !isDone else { return }
        finish()
        failed(LinkCarrierError(step, cause: cause))
        context.close(promise: nil)
    }

    private func finish() {
        isDone = true
        deadline?.cancel()
    }
}
