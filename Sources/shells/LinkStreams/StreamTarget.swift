import LinkProtocol
public import NIOCore
public import NIOPosix
public import NetworkTypes

/// Where the uplink leads a stream.
public struct StreamTarget: Sendable {
    private enum Place: Sendable {
        case address(HostAddress, Port)
        case socket(@Sendable () -> CInt?)
        case found(@Sendable (any EventLoop) -> EventLoopFuture<[IPAddress]>, Port)
    }

    private let place: Place
    /// How long a TCP connection may take to come about.
    public var connectTimeout = TimeAmount.seconds(5)
    /// Whether many datagrams go to it and come from it in one call.
    public var offloadsDatagrams = false

    public init(host: HostAddress, port: Port) {
        place = .address(host, port)
    }

    /// One of several addresses that are asked for when the stream begins: the first that takes a connection, or the first for datagrams.
    public init(port: Port, addresses: @escaping @Sendable (any EventLoop) -> EventLoopFuture<[IPAddress]>) {
        place = .found(addresses, port)
    }

    /// Something of this process: a stream socket that is connected to it, whose owner the stream becomes; nil refuses. No datagrams go
    /// there.
    public init(socket: @escaping @Sendable () -> CInt?) { place = .socket(socket) }

    /// Dials, and returns who takes the stream's bytes meanwhile.
    func connect(_ link: LinkConnection, _ id: StreamID, _ kind: StreamHeader.Kind, on loop: any EventLoop) -> any StreamEnd {
        switch kind {
        case .tcp: connectTCP(link, id, on: loop)
        case .udp: connectUDP(link, id, on: loop)
        }
    }

    private func connectTCP(_ link: LinkConnection, _ id: StreamID, on loop: any EventLoop) -> any StreamEnd {
        let end = NIOLoopBound(TCPEnd(link, id), eventLoop: loop)
        let bootstrap = ClientBootstrap(group: loop)
            .connectTimeout(connectTimeout)
            .forStreams()
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(end.value) }
            }
        switch place {
        case .address(let host, let port):
            bootstrap.channelOption(.tcpOption(.tcp_nodelay), value: 1).connect(host: host.description, port: Int(port.number))
                .whenFailure { _ in end.value.failed() }
        case .socket(let connected):
            guard let socket = connected() else {
                // Whoever is asked for the end has not got it yet.
                loop.execute { end.value.failed() }
                break
            }
            bootstrap.withConnectedSocket(socket).whenFailure { _ in end.value.failed() }
        case .found(let addresses, let port):
            addresses(loop).flatMap { connect($0[...], port, on: loop) }.flatMapThrowing { channel in
                try channel.pipeline.syncOperations.addHandler(end.value)
            }.whenFailure { _ in end.value.failed() }
        }
        return end.value
    }

    /// To the first that takes a connection. Nothing is read before somebody asks for it.
    private func connect(_ addresses: ArraySlice<IPAddress>, _ port: Port, on loop: any EventLoop) -> EventLoopFuture<any Channel>
    {
        guard let first = addresses.first else { return loop.makeFailedFuture(ChannelError.unknownLocalAddress) }
        return ClientBootstrap(group: loop).connectTimeout(connectTimeout).forStreams()
            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
            .connect(host: "\(first)", port: Int(port.number))
            .flatMapError { error in
                addresses.count == 1 ? loop.makeFailedFuture(error) : connect(addresses.dropFirst(), port, on: loop)
            }
    }

    /// A session that rests is ended by whoever opened it.
    private func connectUDP(_ link: LinkConnection, _ id: StreamID, on loop: any EventLoop) -> any StreamEnd {
        let offloads = offloadsDatagrams && DatagramOffload.isSupported
        let socket = UDPSocket(offloads: offloads)
        let flow = DatagramFlow(link, id, deliver: { socket.send($0) }, over: { socket.close() })
        socket.received = { [weak flow] in flow?.send($0) }
        let bound = NIOLoopBound((flow: flow, socket: socket), eventLoop: loop)
        let place: EventLoopFuture<(HostAddress, Port)>
        switch self.place {
        case .address(let host, let port): place = loop.makeSucceededFuture((host, port))
        case .found(let addresses, let port): place = addresses(loop).map { (.ip($0[0]), port) }
        case .socket:
            loop.execute { bound.value.flow.close() }
            return flow
        }
        place.flatMap { host, port in
            DatagramBootstrap(group: loop)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
                .offloading(offloads)
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(bound.value.socket) }
                }
                .connect(host: host.description, port: Int(port.number))
        }.whenFailure { _ in bound.value.flow.close() }
        return flow
    }
}

/// The uplink's socket of one UDP session, connected to the target.
private final class UDPSocket: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>
    typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Datagrams that wait for the socket, before its target's name is looked up.
    private static let mostEarly = 16

    var received: (ByteBuffer) -> Void = { _ in }
    private(set) var isClosed = false
    private var context: ChannelHandlerContext?
    private var early: [ByteBuffer] = []
    private let offloads: Bool
    private var gathering: DatagramGathering?

    init(offloads: Bool) { self.offloads = offloads }

    func send(_ datagram: ByteBuffer) {
        if let gathering {
            gathering.add(datagram)
        } else if let context {
            write(datagram, nil, context)
            context.flush()
        } else if early.count < Self.mostEarly, !isClosed {
            early.append(datagram)
        }
    }

    private func write(_ bytes: ByteBuffer, _ segmentSize: Int?, _ context: ChannelHandlerContext) {
        guard let target = context.remoteAddress else { return }
        context.write(wrapOutboundOut(AddressedEnvelope(to: target, bytes, segmentSize: segmentSize)), promise: nil)
    }

    func close() {
        isClosed = true
        early = []
        context?.close(promise: nil)
        context = nil
        gathering = nil
    }

    func channelActive(context: ChannelHandlerContext) {
        guard !isClosed else { return context.close(promise: nil) }
        self.context = context
        if offloads {
            gathering = DatagramGathering(on: context.eventLoop) { [weak self] in
                if let self, let context = self.context { self.write($0, $1, context) }
            } flush: { [weak self] in
                self?.context?.flush()
            }
        }
        for datagram in early { send(datagram) }
        early = []
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        DatagramOffload.each(of: unwrapInboundIn(data), received)
    }

    /// A target that refuses a datagram (ICMP) may take the next.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}
}

extension ClientBootstrap {
    /// As a stream wants a TCP connection: read when there is room, half-closes seen, no waiting for more to send.
    public func forStreams() -> ClientBootstrap {
        channelOption(.autoRead, value: false)
            .channelOption(.allowRemoteHalfClosure, value: true)
            .channelOption(.recvAllocator, value: StreamBuffers())
            .channelOption(.maxMessagesPerRead, value: 1)
    }
}

/// Buffers for reading TCP connections: small for those that say little, large for transfers.
///
/// No buffer is kept between reads, so that connections that rest cost nothing.
struct StreamBuffers: RecvByteBufferAllocator {
    private static let smallest = 1 << 10
    private static let largest = 64 << 10

    private var next = Self.smallest

    func buffer(allocator: ByteBufferAllocator) -> ByteBuffer { allocator.buffer(capacity: next) }

    mutating func record(actualReadBytes: Int) -> Bool {
        if actualReadBytes >= next {
            next = min(next * 4, Self.largest)
        } else if actualReadBytes < next / 4 {
            next = max(next / 2, Self.smallest)
        }
        // What this answer means to NIO: take a new buffer for the next read.
        return true
    }
}
