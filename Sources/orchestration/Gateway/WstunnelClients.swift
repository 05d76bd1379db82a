import LinkStreams
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import RemoteDocuments
import TunnelProtocols

/// What clients of wstunnel ask for. A `-R` of a client is an upgrade request that is answered when a visitor has come; then the client asks for the
/// next. On the gateway's event loop.
final class WstunnelClients {
    /// An upgrade that waits for its answer.
    final class Upgrade {
        let channel: any Channel
        /// Whether it may become a WebSocket.
        let answer: EventLoopPromise<Bool>
        /// Takes the channel over once it is one.
        var joined: ((any Channel) throws -> Void)?
        /// It was taken over: its end is whoever's took it.
        private(set) var isJoined = false
        let content: WebSocketStream.Content

        init(_ channel: any Channel, _ content: WebSocketStream.Content) {
            self.channel = channel
            answer = channel.eventLoop.makePromise()
            self.content = content
        }

        func join(_ webSocket: any Channel) throws {
            guard let joined else { throw ChannelError.eof }
            try joined(webSocket)
            isJoined = true
        }

        /// Calls it where the channel ends before it was taken over, as where the answer finds nobody.
        func ifNeverJoined(_ body: @escaping () -> Void) {
            let bound = NIOLoopBound((self, body), eventLoop: channel.eventLoop)
            channel.closeFuture.whenComplete { _ in
                let (upgrade, body) = bound.value
                if !upgrade.isJoined { body() }
            }
        }
    }

    /// Somebody who came to a port.
    struct Visitor {
        /// Called where no client takes him.
        let gone: () -> Void
        /// Called with the WebSocket that is his way.
        let joined: (any Channel) throws -> Void
    }

    private struct Served {
        var waiting = CircularBuffer<Upgrade>()
        var visitors = VisitorQueue<Visitor>()
        /// Until when a client that has just taken a visitor is waited for.
        var expected = NIODeadline.uptimeNanoseconds(0)
    }

    /// From a visitor to the client's next request: it dials its target in between.
    private static let grace = TimeAmount.seconds(5)
    /// Requests that wait for one port; a client has one for each `-R`.
    private static let mostWaiting = 64
    /// For a target on this side.
    private static let dialing = TimeAmount.seconds(10)

    private let loop: any EventLoop
    private let logger: Logger
    private var served: [RemotePort.Key: Served] = [:]
    /// Told when there may be clients for a port, or none any more.
    var changed: () -> Void = {}

    init(_ loop: any EventLoop, logger: Logger) {
        self.loop = loop
        self.logger = logger
    }

    /// Whether a client is there for the port, or about to be.
    func serve(_ key: RemotePort.Key) -> Bool {
        guard let served = served[key] else { return false }
        return !served.waiting.isEmpty || served.expected > .now()
    }

    /// No more visitors of ports but these; what is joined goes on.
    func keep(_ keys: Set<RemotePort.Key>) {
        for (key, one) in served where !keys.contains(key) {
            served[key] = nil
            for upgrade in one.waiting { upgrade.answer.succeed(false) }
            for visitor in one.visitors.all { visitor.gone() }
        }
    }

    /// Sends away who has waited too long; to be called each second or so.
    func sweep() {
        for key in served.keys { for visitor in served[key]?.visitors.expired() ?? [] { visitor.gone() } }
    }

    /// The clients' requests are refused, so that they go where the next gateway is.
    func leave() {
        for key in served.keys {
            for upgrade in served[key]?.waiting ?? [] { upgrade.answer.succeed(false) }
            served[key]?.waiting = []
        }
    }

    // MARK: requests

    /// - Returns: nil where it is refused.
    func take(_ request: WstunnelRequest, on channel: any Channel, in document: GatewayDocument) -> Upgrade? {
        switch request.kind {
        case .reverseTCP: return wait(on: channel, for: .init(.tcp, request.port), request, document)
        case .reverseUDP: return wait(on: channel, for: .init(.udp, request.port), request, document)
        case .tcp(let hasProxyHeader):
            guard !hasProxyHeader, isAllowed(request, document) else { return refuse(request, "a forward that is not allowed") }
            return dial(request, on: channel)
        case .udp:
            guard isAllowed(request, document) else { return refuse(request, "a forward that is not allowed") }
            return dialUDP(request, on: channel)
        case .other(let kind): return refuse(request, "\(kind), which is not served")
        }
    }

    private func refuse(_ request: WstunnelRequest, _ reason: String) -> Upgrade? {
        logger.warning(
            "a client of wstunnel is refused: it asks for \(reason)",
            metadata: ["host": "\(printable(request.host))", "port": "\(request.port)"])
        return nil
    }

    private func isAllowed(_ request: WstunnelRequest, _ document: GatewayDocument) -> Bool {
        document.forwards?.contains("\(request.host):\(request.port)") == true
    }

    private func wait(
        on channel: any Channel, for key: RemotePort.Key, _ request: WstunnelRequest, _ document: GatewayDocument
    ) -> Upgrade? {
        guard document.ports.contains(where: { $0.key == key }) else {
            let ports = document.ports.map { "\($0.key)" }.joined(separator: ", ")
            return refuse(request, "\(key), and the RemoteService has \(ports)")
        }
        guard IPAddress(request.host) != nil else { return refuse(request, "a port at an address that is none") }
        let upgrade = Upgrade(channel, key.protocol == .tcp ? .bytes : .datagrams)
        if let visitor = served[key]?.visitors.next() { return answer(upgrade, key, visitor) }
        // The oldest is of a client that is gone without a word, if any is.
        if (served[key]?.waiting.count ?? 0) >= Self.mostWaiting, let oldest = served[key]?.waiting.popFirst() {
            oldest.answer.succeed(false)
        }
        served[key, default: Served()].waiting.append(upgrade)
        let bound = NIOLoopBound(self, eventLoop: loop)
        let boundUpgrade = NIOLoopBound(upgrade, eventLoop: loop)
        channel.closeFuture.whenComplete { _ in
            let upgrade = boundUpgrade.value
            bound.value.served[key]?.waiting.removeAll { $0 === upgrade }
            upgrade.answer.succeed(false)
            bound.value.changed()
        }
        loop.execute { bound.value.changed() }
        return upgrade
    }

    @discardableResult private func answer(
        _ upgrade: Upgrade, _ key: RemotePort.Key, _ visitor: Visitor
    ) -> Upgrade {
        upgrade.joined = visitor.joined
        upgrade.ifNeverJoined(visitor.gone)
        served[key, default: Served()].expected = .now() + Self.grace
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleTask(in: Self.grace) { bound.value.changed() }
        upgrade.answer.succeed(true)
        return upgrade
    }

    // MARK: visitors

    /// - Returns: false where there is no client.
    func take(_ visitor: Visitor, of key: RemotePort.Key) -> Bool {
        guard serve(key) else { return false }
        // The newest: an older one may be of a client whose end nobody told of.
        while let upgrade = served[key]?.waiting.popLast() {
            guard upgrade.channel.isActive else { continue }
            answer(upgrade, key, visitor)
            return true
        }
        return served[key, default: Served()].visitors.add(visitor)
    }

    // MARK: forwards on this side

    private func dial(_ request: WstunnelRequest, on channel: any Channel) -> Upgrade {
        let upgrade = Upgrade(channel, .bytes)
        let bound = NIOLoopBound((self, upgrade), eventLoop: loop)
        ClientBootstrap(group: loop).connectTimeout(Self.dialing).forStreams()
            .connect(host: request.host, port: Int(request.port.number))
            .whenComplete { result in
                let (clients, upgrade) = bound.value
                switch result {
                case .success(let target):
                    guard let held = try? HeldConnection(target) else { return upgrade.answer.succeed(false) }
                    upgrade.joined = { try held.join($0) }
                    // Once joined what was written still goes out.
                    upgrade.ifNeverJoined { held.channel.close(promise: nil) }
                    upgrade.answer.succeed(true)
                case .failure(let error):
                    _ = clients.refuse(request, "a target that cannot be reached: \(error)")
                    upgrade.answer.succeed(false)
                }
            }
        return upgrade
    }

    private func dialUDP(_ request: WstunnelRequest, on channel: any Channel) -> Upgrade {
        let upgrade = Upgrade(channel, .datagrams)
        let bound = NIOLoopBound(upgrade, eventLoop: loop)
        DatagramBootstrap(group: loop)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
            .connect(host: request.host, port: Int(request.port.number))
            .whenComplete { result in
                let upgrade = bound.value
                guard case .success(let target) = result else { return upgrade.answer.succeed(false) }
                upgrade.joined = { webSocket in
                    let datagrams = DatagramSplice(webSocket)
                    try target.pipeline.syncOperations.addHandler(datagrams)
                    try webSocket.pipeline.syncOperations.addHandler(DatagramSplice.Other(target))
                }
                upgrade.channel.closeFuture.whenComplete { _ in target.close(promise: nil) }
                upgrade.answer.succeed(true)
            }
        return upgrade
    }
}

/// A connected UDP socket whose datagrams go to a channel of datagrams, and back. What finds no room is dropped.
private final class DatagramSplice: ChannelInboundHandler {
    typealias InboundIn = AddressedEnvelope<ByteBuffer>

    private let webSocket: any Channel

    init(_ webSocket: any Channel) { self.webSocket = webSocket }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        if webSocket.isWritable { webSocket.writeAndFlush(unwrapInboundIn(data).data, promise: nil) }
    }

    func channelInactive(context: ChannelHandlerContext) { webSocket.close(promise: nil) }

    /// A target that refuses a datagram (ICMP) may take the next.
    func errorCaught(context: ChannelHandlerContext, error: any Error) {}

    final class Other: ChannelInboundHandler {
        typealias InboundIn = ByteBuffer

        private let target: any Channel

        init(_ target: any Channel) { self.target = target }

        func channelRead(context: ChannelHandlerContext, data: NIOAny) {
            target.writeAndFlush(unwrapInboundIn(data), promise: nil)
        }

        func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
            if case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
        }

        func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
    }
}

/// The way of one visitor's datagrams to a client of wstunnel: a WebSocket of its own.
final class WstunnelFlow: ChannelInboundHandler, UDPFlow {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// Datagrams that wait for the WebSocket.
    private static let mostEarly = 16

    private(set) var lastUsed = NIODeadline.now()
    private let deliver: (ByteBuffer) -> Void
    private let over: () -> Void
    private var early: [ByteBuffer] = []
    private var context: ChannelHandlerContext?
    private var isOver = false

    init(deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void) {
        self.deliver = deliver
        self.over = over
    }

    func send(_ datagram: ByteBuffer) {
        lastUsed = .now()
        if let context {
            if context.channel.isWritable { context.writeAndFlush(wrapOutboundOut(datagram), promise: nil) }
        } else if early.count < Self.mostEarly, !isOver {
            early.append(datagram)
        }
    }

    func close() {
        context?.close(mode: .output, promise: nil)
        end()
    }

    private func end() {
        guard !isOver else { return }
        isOver = true
        early = []
        over()
    }

    func handlerAdded(context: ChannelHandlerContext) {
        guard !isOver else { return context.close(promise: nil) }
        self.context = context
        for datagram in early { send(datagram) }
        early = []
    }

    func handlerRemoved(context: ChannelHandlerContext) {
        self.context = nil
        end()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        lastUsed = .now()
        deliver(unwrapInboundIn(data))
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case .inputClosed? = event as? ChannelEvent { context.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func channelInactive(context: ChannelHandlerContext) { end() }
}
