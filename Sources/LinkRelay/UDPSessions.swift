import LinkStreams
import NIOCore

/// One UDP tunnel port at the edge: a flow for each source address.
final class UDPSessions: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Sessions of one port at a time; datagrams of others are dropped.
    private static let most = 16_384
    /// How long a session may rest.
    private static let idle = TimeAmount.seconds(60)

    /// A session, whose flow is on its link's event loop.
    private final class Session: Sendable {
        let link: UplinkLinks.Link
        let flow: NIOLoopBoundBox<DatagramFlow?>

        init(_ link: UplinkLinks.Link) {
            self.link = link
            flow = .makeEmptyBox(eventLoop: link.eventLoop)
        }
    }

    private let port: UInt16
    private let links: UplinkLinks
    private var sessions: [SocketAddress: Session] = [:]
    private var sweep: RepeatedTask?

    init(port: UInt16, links: UplinkLinks) {
        self.port = port
        self.links = links
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sweep = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(5), delay: .seconds(5)) { _ in
            for session in bound.value.sessions.values {
                session.link.eventLoop.execute {
                    guard let flow = session.flow.value, .now() - flow.lastUsed >= Self.idle else { return }
                    flow.close()
                }
            }
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        sweep?.cancel()
        for session in sessions.values { session.link.eventLoop.execute { session.flow.value?.close() } }
        sessions = [:]
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let session = sessions[envelope.remoteAddress] ?? open(envelope.remoteAddress, context) else { return }
        session.link.eventLoop.execute { session.flow.value?.send(envelope.data) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    private func open(_ source: SocketAddress, _ context: ChannelHandlerContext) -> Session? {
        guard sessions.count < Self.most, let link = links.next() else { return nil }
        let session = Session(link)
        sessions[source] = session
        let channel = context.channel
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let loop = context.eventLoop
        let over: @Sendable () -> Void = {
            loop.execute { if bound.value.sessions[source] === session { bound.value.sessions[source] = nil } }
        }
        link.eventLoop.execute { [port] in
            do {
                session.flow.value = try link.connection.value.openFlow(
                    tunnelPort: port,
                    deliver: { channel.writeAndFlush(AddressedEnvelope(remoteAddress: source, data: $0), promise: nil) },
                    over: {
                        session.flow.value = nil
                        over()
                    })
            } catch {
                over()
            }
        }
        return session
    }
}
