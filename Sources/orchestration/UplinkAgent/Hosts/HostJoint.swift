import Glibc
import NIOCore
import NIOPosix

/// One end of two TCP connections that are joined: half-closes become half-closes, resets become resets, and who does not read is not read
/// from. Both are on one event loop, and nothing is read before `begin`.
final class HostJoint: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private var context: ChannelHandlerContext?
    private var partner: HostJoint?
    private var hasReadEnd = false
    private var isOver = false
    /// Waits until the other side takes more.
    private var waits = false

    static func join(_ a: HostJoint, _ b: HostJoint) { (a.partner, b.partner) = (b, a) }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func begin() { context?.read() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard let other = partner?.context else { return }
        other.write(wrapOutboundOut(unwrapInboundIn(data)), promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        partner?.context?.flush()
        readOn()
    }

    private func readOn() {
        guard let context, !hasReadEnd, !isOver else { return }
        guard partner?.context?.channel.isWritable == true else {
            waits = true
            return
        }
        waits = false
        context.read()
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable, let partner, partner.waits { partner.readOn() }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .inputClosed? = event as? ChannelEvent, !hasReadEnd else { return }
        hasReadEnd = true
        partner?.context?.close(mode: .output, promise: nil)
        if partner?.hasReadEnd == true { finish() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { abort() }

    func channelInactive(context: ChannelHandlerContext) {
        // Without an end of what it read it was a reset.
        if hasReadEnd { finish() } else { abort() }
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Both have told of their end.
    private func finish() {
        guard !isOver else { return }
        isOver = true
        let other = partner
        partner = nil
        context?.close(promise: nil)
        other?.finish()
    }

    /// Resets both.
    func abort() {
        guard !isOver else { return }
        isOver = true
        let other = partner
        partner = nil
        if let channel = context?.channel {
            // SO_LINGER of no time makes a reset of the close (socket(7)).
            _ = (channel as? any SocketOptionProvider)?.setSoLinger(linger(l_onoff: 1, l_linger: 0))
            channel.close(promise: nil)
        }
        other?.abort()
    }
}
