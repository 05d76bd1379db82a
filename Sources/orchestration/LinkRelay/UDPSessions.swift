import LinkStreams
import NIOCore

/// One UDP tunnel port at the edge, on one event loop: a flow of a link on that loop for each source address.
final class UDPSessions: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Sessions of one port at a time; datagrams of others are dropped.
    private static let most = 16_384
    /// How long a session may rest.
    private static let idle = TimeAmount.seconds(60)

    private let port: UInt16
    private let links: UplinkLinks
    private var flows: [SocketAddress: DatagramFlow] = [:]
    private var sweep: RepeatedTask?
    private var context: ChannelHandlerContext?

    init(port: UInt16, links: UplinkLinks) {
        self.port = port
        self.links = links
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sweep = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(5), delay: .seconds(5)) { _ in
            for flow in bound.value.flows.values where .now() - flow.lastUsed >= Self.idle { flow.close() }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        sweep?.cancel()
        for flow in flows.values { flow.close() }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        let flow = flows[envelope.remoteAddress] ?? open(envelope.remoteAddress, context)
        flow?.send(envelope.data)
    }

    /// A source that takes no answer (ICMP) may send on.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    /// Nil when there are too many, or no link takes another.
    private func open(_ source: SocketAddress, _ context: ChannelHandlerContext) -> DatagramFlow? {
        guard flows.count < Self.most, let link = links.best(on: context.eventLoop) else { return nil }
        let flow = try? link.openFlow(
            tunnelPort: port,
            deliver: { [weak self] datagram in
                guard let self, let context = self.context else { return }
                let envelope = AddressedEnvelope(remoteAddress: source, data: datagram)
                context.writeAndFlush(wrapOutboundOut(envelope), promise: nil)
            },
            over: { [weak self] in self?.flows[source] = nil })
        flows[source] = flow
        return flow
    }
}
