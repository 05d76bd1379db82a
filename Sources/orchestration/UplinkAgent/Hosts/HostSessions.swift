import Logging
import NIOCore
import NIOPosix
import NetworkTypes

/// The UDP sessions of one forward to a host: each source of the tunnel has a socket of its own that is connected to the host.
final class HostSessions: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Of one forward: of one that is flooded the others have room left.
    private static let most = 1_024
    /// Datagrams of one session that wait for its host's address.
    private static let mostEarly = 16
    /// As conntrack keeps streams (`nf_conntrack_udp_timeout_stream`).
    private static let rest = TimeAmount.seconds(120)

    private final class Session {
        var far: (any Channel)?
        var early: [ByteBuffer] = []
        var lastUsed = NIODeadline.now()
    }

    private let host: RelayedHost
    private let resolver: HostResolver
    private let budget: HostBudget
    private let logger: Logger
    private var sessions: [SocketAddress: Session] = [:]

    init(_ host: RelayedHost, _ resolver: HostResolver, _ budget: HostBudget, _ logger: Logger) {
        self.host = host
        self.resolver = resolver
        self.budget = budget
        self.logger = logger
    }

    func channelActive(context: ChannelHandlerContext) {
        let bound = NIOLoopBound((self, context), eventLoop: context.eventLoop)
        context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(5), delay: .seconds(5)) { task in
            let (sessions, context) = bound.value
            guard context.channel.isActive else { return task.cancel() }
            sessions.endTheOld()
        }
    }

    func channelInactive(context: ChannelHandlerContext) { for source in sessions.keys { end(source) } }

    /// Errors of single datagrams, such as ICMP tells of.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let datagram = unwrapInboundIn(data)
        let session: Session
        if let known = sessions[datagram.remoteAddress] {
            session = known
        } else {
            guard sessions.count < Self.most, budget.take() else { return }
            session = Session()
            sessions[datagram.remoteAddress] = session
            open(session, of: datagram.remoteAddress, context)
        }
        session.lastUsed = .now()
        if let far = session.far {
            far.writeAndFlush(datagram.data, promise: nil)
        } else if session.early.count < Self.mostEarly {
            session.early.append(datagram.data)
        }
    }

    private func open(_ session: Session, of source: SocketAddress, _ context: ChannelHandlerContext) {
        let loop = context.eventLoop
        let bound = NIOLoopBound((self, context, session), eventLoop: loop)
        let port = Int(host.port.number)
        resolver.addresses(of: host, on: loop).flatMap { addresses -> EventLoopFuture<any Channel> in
            DatagramBootstrap(group: loop)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            HostAnswers { answer in
                                let (_, context, session) = bound.value
                                session.lastUsed = .now()
                                context.writeAndFlush(
                                    NIOAny(AddressedEnvelope(remoteAddress: source, data: answer)), promise: nil)
                            })
                    }
                }
                .connect(host: "\(addresses[0])", port: port)
        }.whenComplete { result in
            let (sessions, _, session) = bound.value
            switch result {
            case .success(let far):
                guard sessions.sessions[source] === session else { return far.close(promise: nil) }
                session.far = far
                for datagram in session.early { far.write(datagram, promise: nil) }
                session.early = []
                far.flush()
            case .failure(let error):
                sessions.logger.debug(
                    "a host takes no datagrams", metadata: ["host": "\(sessions.host.host)", "reason": "\(error)"])
                if sessions.sessions[source] === session { sessions.end(source) }
            }
        }
    }

    private func endTheOld() {
        let now = NIODeadline.now()
        for (source, session) in sessions where now - session.lastUsed >= Self.rest { end(source) }
    }

    private func end(_ source: SocketAddress) {
        guard let session = sessions.removeValue(forKey: source) else { return }
        budget.give()
        session.far?.close(promise: nil)
    }
}

/// What a host answers to one session.
private final class HostAnswers: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let handOn: (ByteBuffer) -> Void

    init(_ handOn: @escaping (ByteBuffer) -> Void) { self.handOn = handOn }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) { handOn(unwrapInboundIn(data).data) }

    /// A host that refuses a datagram (ICMP) may take the next.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}
