public import NIOCore
import NIOHTTP1

/// What the connections of one listener share; it lives on one event loop.
public final class StatusListener {
    /// How the listener treats its connections.
    public struct Settings: Sendable {
        public var limits: ConnectionBudget<ConnectionSource>.Limits
        /// From the opening, or the last answer, to the next whole request.
        public var idle: TimeAmount
        /// What is answered, on which listener.
        public var answer: @Sendable (StatusRequest, any EventLoop) -> EventLoopFuture<StatusAnswer>

        public init(
            limits: ConnectionBudget<ConnectionSource>.Limits, idle: TimeAmount,
            answer: @escaping @Sendable (StatusRequest, any EventLoop) -> EventLoopFuture<StatusAnswer>
        ) {
            self.limits = limits
            self.idle = idle
            self.answer = answer
        }
    }

    let settings: Settings
    private var budget: ConnectionBudget<ConnectionSource>
    private var channels: [ConnectionBudget<ConnectionSource>.ID: any Channel] = [:]
    private var lastID: ConnectionBudget<ConnectionSource>.ID = 0

    public init(_ settings: Settings) {
        self.settings = settings
        budget = ConnectionBudget(settings.limits)
    }

    /// - Returns: nil when the connection is to be closed.
    func admit(_ channel: any Channel) -> ConnectionBudget<ConnectionSource>.ID? {
        lastID += 1
        switch budget.opened(lastID, from: ConnectionSource(channel.remoteAddress)) {
        case .leave: return nil
        case .stay: break
        case .stayInsteadOf(let victim): channels.removeValue(forKey: victim)?.close(promise: nil)
        }
        channels[lastID] = channel
        return lastID
    }

    /// The listener ends: each connection does so after the answer that is under way.
    public func quiesce() {
        for channel in channels.values { channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent()) }
    }

    func began(_ id: ConnectionBudget<ConnectionSource>.ID) { budget.began(id) }
    func answered(_ id: ConnectionBudget<ConnectionSource>.ID) { budget.answered(id) }

    func closed(_ id: ConnectionBudget<ConnectionSource>.ID) {
        budget.closed(id)
        channels[id] = nil
    }
}

/// The first handler of a connection: HTTP is set up only for one that may stay.
public final class Admission: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer

    private let listener: StatusListener
    private var id: ConnectionBudget<ConnectionSource>.ID?

    /// Of all header fields of a request; a kubelet and a scraper send some hundred.
    private static let headerBytes = 8192
    private static let headerFields = 100

    public init(_ listener: StatusListener) { self.listener = listener }

    public func channelActive(context: ChannelHandlerContext) {
        guard let id = listener.admit(context.channel) else {
            context.close(promise: nil)
            return
        }
        self.id = id
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = Self.headerBytes
        limits.maxHeaderListSize = Self.headerBytes
        limits.maxHeaderFieldCount = Self.headerFields
        do {
            let pipeline = context.pipeline.syncOperations
            try pipeline.configureHTTPServerPipeline(
                withErrorHandling: true, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
            try pipeline.addHandler(StatusExchange(id, listener))
            context.fireChannelActive()
        } catch {
            context.close(promise: nil)
        }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        if let id { listener.closed(id) }
        context.fireChannelInactive()
    }
}

/// The last one: answers request after request, and ends a connection that is over its time.
private final class StatusExchange: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let id: ConnectionBudget<ConnectionSource>.ID
    private let listener: StatusListener
    private var head: HTTPRequestHead?
    private var hasBody = false
    private var deadline: Scheduled<Void>?
    private var isQuiescing = false

    /// For the answer to go out.
    private static let farewell = TimeAmount.seconds(10)

    init(_ id: ConnectionBudget<ConnectionSource>.ID, _ listener: StatusListener) {
        self.id = id
        self.listener = listener
    }

    func handlerAdded(context: ChannelHandlerContext) { close(context, in: listener.settings.idle) }
    func handlerRemoved(context: ChannelHandlerContext) { deadline?.cancel() }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            hasBody = false
        case .body: hasBody = true
        case .end:
            guard let head else { return }
            listener.began(id)
            close(context, in: Self.farewell)
            let request = StatusRequest(head, from: ConnectionSource(context.channel.remoteAddress))
            if hasBody {
                respond(context, to: head, .text(.payloadTooLarge, "no request body is taken here"), keepAlive: false)
                return
            }
            listener.settings.answer(request, context.eventLoop).assumeIsolated().whenComplete { result in
                // Computed off the loop, it comes when the connection may have gone.
                guard context.channel.isActive else { return }
                switch result {
                case .success(let answer): self.respond(context, to: head, answer, keepAlive: head.isKeepAlive)
                case .failure: context.close(promise: nil)
                }
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent: isQuiescing = true
        // Nothing comes any more; what was asked is answered still.
        case ChannelEvent.inputClosed where head == nil: context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func respond(_ context: ChannelHandlerContext, to head: HTTPRequestHead, _ answer: StatusAnswer, keepAlive: Bool) {
        let keepAlive = keepAlive && !isQuiescing
        var fields = HTTPHeaders(answer.fields.map { ($0.name, $0.value) })
        fields.add(name: "Content-Type", value: answer.contentType)
        // What stands in it may come from outside: no browser shall take it for a page.
        fields.add(name: "X-Content-Type-Options", value: "nosniff")
        fields.add(name: "Content-Length", value: "\(answer.body.readableBytes)")
        if !keepAlive {
            fields.add(name: "Connection", value: "close")
        } else if head.version == .http1_0 {
            fields.add(name: "Connection", value: "keep-alive")
        }
        let line = HTTPResponseHead(version: .http1_1, status: answer.status, headers: fields)
        context.write(wrapOutboundOut(.head(line)), promise: nil)
        if head.method != .HEAD { context.write(wrapOutboundOut(.body(.byteBuffer(answer.body))), promise: nil) }
        self.head = nil
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { result in
            guard keepAlive, case .success = result else {
                context.close(promise: nil)
                return
            }
            self.listener.answered(self.id)
            self.close(context, in: self.listener.settings.idle)
        }
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }
}
