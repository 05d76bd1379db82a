public import NIOCore
public import NIOPosix

/// One UDP session's way to whoever answers. On an event loop.
public protocol UDPFlow: AnyObject {
    var lastUsed: NIODeadline { get }
    /// Sends a datagram on; one that finds no room is dropped.
    func send(_ datagram: ByteBuffer)
    /// Ends the flow, and says so.
    func close()
}

extension DatagramFlow: UDPFlow {}

/// One UDP port that is listened at, on one event loop: a flow for each source address.
public final class UDPSessions: ChannelInboundHandler {
    public typealias InboundIn = AddressedEnvelope<ByteBuffer>
    public typealias OutboundOut = AddressedEnvelope<ByteBuffer>

    /// Opens a flow for a source: `deliver` takes what is answered, `over` hears of the flow's end. Nil where none can be had.
    public typealias Opening = (
        _ source: SocketAddress, _ deliver: @escaping (ByteBuffer) -> Void, _ over: @escaping () -> Void
    ) -> (any UDPFlow)?

    /// Sessions of one port at a time; datagrams of others are dropped.
    private static let most = 16_384
    /// How long a session may rest where nobody says otherwise.
    public static let rest = TimeAmount.seconds(60)

    private let opening: Opening
    private let offloads: Bool
    private let rest: () -> TimeAmount
    private var flows: [SocketAddress: any UDPFlow] = [:]
    private var sweep: RepeatedTask?
    private var context: ChannelHandlerContext?

    /// - Parameters:
    ///   - offloads: whether many datagrams come and go in one call; `DatagramBootstrap.offloading` is the other half.
    ///   - rest: how long a session may rest; it is asked every 5 s.
    public init(
        offloads: Bool = false, rest: @escaping () -> TimeAmount = { UDPSessions.rest }, opening: @escaping Opening
    ) {
        self.opening = opening
        self.offloads = offloads
        self.rest = rest
    }

    public func channelActive(context: ChannelHandlerContext) {
        self.context = context
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        sweep = context.eventLoop.scheduleRepeatedTask(initialDelay: .seconds(5), delay: .seconds(5)) { _ in
            let (now, rest) = (NIODeadline.now(), bound.value.rest())
            for flow in bound.value.flows.values where now - flow.lastUsed >= rest { flow.close() }
        }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        self.context = nil
        sweep?.cancel()
        for flow in flows.values { flow.close() }
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let envelope = unwrapInboundIn(data)
        guard let flow = flows[envelope.remoteAddress] ?? open(envelope.remoteAddress) else { return }
        DatagramOffload.each(of: envelope, flow.send)
    }

    /// A source that takes no answer (ICMP) may send on.
    public func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    /// Nil when there are too many, or nobody takes another.
    private func open(_ source: SocketAddress) -> (any UDPFlow)? {
        guard flows.count < Self.most else { return nil }
        let flow = opening(source, delivering(to: source)) { [weak self] in self?.flows[source] = nil }
        flows[source] = flow
        return flow
    }

    /// What writes to a source.
    private func delivering(to source: SocketAddress) -> (ByteBuffer) -> Void {
        guard offloads, let context else {
            return { [weak self] datagram in
                self?.write(datagram, nil, to: source)
                self?.context?.flush()
            }
        }
        let gathering = DatagramGathering(on: context.eventLoop) { [weak self] in
            self?.write($0, $1, to: source)
        } flush: { [weak self] in
            self?.context?.flush()
        }
        return gathering.add
    }

    private func write(_ bytes: ByteBuffer, _ segmentSize: Int?, to source: SocketAddress) {
        guard let context else { return }
        context.write(wrapOutboundOut(AddressedEnvelope(to: source, bytes, segmentSize: segmentSize)), promise: nil)
    }
}

extension DatagramBootstrap {
    /// Has many datagrams come in one read, as `DatagramOffload.isSupported` says.
    public func offloading(_ isWanted: Bool) -> DatagramBootstrap {
        guard isWanted else { return self }
        return channelOption(.datagramReceiveOffload, value: true).channelOption(.datagramReceiveSegmentSize, value: true)
    }
}
