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
    /// Writes that the system has not taken yet, and whether nothing is to follow them.
    private var unwritten = 0
    private var isEnding = false
    private var hasEnded = false
    private var isOver = false
    /// Waits until the other side takes more.
    private var waits = false
    /// What came before there was another side: whoever ends at once has all read that the kernel holds of him, unasked.
    private var early: [ByteBuffer] = []
    private var whenActive: ((HostJoint) -> Void)?

    /// - Parameter whenActive: comes once, when the channel of this end may be written to. An accepted one is not while it is set up, and the
    ///   kernel may have connected to a near host by then.
    init(whenActive: ((HostJoint) -> Void)? = nil) { self.whenActive = whenActive }

    /// Makes a connected channel of this loop the other side, or closes it if this one is gone.
    func join(_ channel: any Channel) {
        guard context != nil, !isOver else { return channel.close(promise: nil) }
        let other = HostJoint()
        do {
            try channel.pipeline.syncOperations.addHandler(other)
        } catch {
            channel.close(promise: nil)
            return abort()
        }
        (partner, other.partner) = (other, self)
        begin()
        other.begin()
    }

    func handlerAdded(context: ChannelHandlerContext) { self.context = context }

    func channelActive(context: ChannelHandlerContext) {
        context.fireChannelActive()
        let action = whenActive
        whenActive = nil
        action?(self)
    }

    private func begin() {
        for buffer in early { partner?.write(buffer) }
        early = []
        partner?.context?.flush()
        if hasReadEnd { partner?.endOutput() } else { context?.read() }
    }

    private func write(_ buffer: ByteBuffer) {
        guard let context else { return }
        unwritten += 1
        let own = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.write(wrapOutboundOut(buffer)).whenComplete { _ in
            own.value.unwritten -= 1
            if own.value.isEnding { own.value.endOutput() }
        }
    }

    /// After all that is still to be written, which a close would lose.
    private func endOutput() {
        isEnding = true
        guard unwritten == 0, !hasEnded else { return }
        hasEnded = true
        // With both its ends closed a channel is over by itself.
        context?.close(mode: .output, promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard !isOver else { return }
        if let partner { partner.write(unwrapInboundIn(data)) } else { early.append(unwrapInboundIn(data)) }
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
        partner?.endOutput()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { abort() }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        // After our end the peer's closes the channel, and nothing tells of it but this. Without either it was a reset.
        guard hasReadEnd || hasEnded else { return abort() }
        if !hasReadEnd {
            hasReadEnd = true
            partner?.endOutput()
        }
        isOver = true
        partner = nil
    }

    func handlerRemoved(context: ChannelHandlerContext) { self.context = nil }

    /// Resets both.
    func abort() {
        guard !isOver else { return }
        isOver = true
        early = []
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
