public import NIOCore
import NIOHTTP1

/// A connection that was let in; it lives on its listener's event loop.
public final class HTTPConnection {
    typealias ID = ConnectionBudget<ConnectionSource>.ID

    private enum Phase {
        /// What comes before HTTP, such as a handshake.
        case opening
        /// One request after the other; each ends the connection in time.
        case requests
        /// HTTP/2, whose connection is idle while it has no stream.
        case streams
        /// What is under way is the last.
        case ending
    }

    public let channel: any Channel
    let id: ID
    private let connections: HTTPConnections
    private var phase = Phase.opening
    /// Requests that wait for their answers: of HTTP/2 there can be several.
    private var underWay = 0
    private var deadline: Scheduled<Void>?

    private static let headerFields = 100

    init(_ id: ID, _ channel: any Channel, of connections: HTTPConnections) {
        self.id = id
        self.channel = channel
        self.connections = connections
    }

    public var settings: HTTPConnections.Settings { connections.settings }

    /// Adds HTTP/1.1 after the handlers that are there.
    public func speakHTTP1() throws {
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = settings.headerBytes
        limits.maxHeaderListSize = settings.headerBytes
        limits.maxHeaderFieldCount = Self.headerFields
        let pipeline = channel.pipeline.syncOperations
        try pipeline.configureHTTPServerPipeline(
            withErrorHandling: true, withEncoderConfiguration: .init(), withDecoderLimitConfiguration: limits)
        try pipeline.addHandler(exchange())
        phase = .requests
    }

    /// Streams come from now on, each with an `exchange`, by handlers that say goodbye at a `ChannelShouldQuiesceEvent`.
    public func speakStreams() {
        phase = .streams
        awaitStream()
    }

    /// What answers the requests of this connection, or of one of its streams.
    public func exchange() -> some ChannelInboundHandler { HTTPExchange(self) }

    /// Ends it after the answers that are under way.
    func quiesce() {
        if case .opening = phase { return channel.close(promise: nil) }
        phase = .ending
        channel.pipeline.fireUserInboundEventTriggered(ChannelShouldQuiesceEvent())
        after(settings.answering) { $0.channel.close(promise: nil) }
    }

    func closed() {
        phase = .ending
        deadline?.cancel()
    }

    func began() {
        underWay += 1
        connections.began(id)
        if case .streams = phase { deadline?.cancel() }
    }

    func answered() {
        underWay -= 1
        guard underWay == 0 else { return }
        connections.answered(id)
        if case .streams = phase { awaitStream() }
    }

    private func awaitStream() { after(settings.idle) { $0.quiesce() } }

    private func after(_ time: TimeAmount, _ act: @escaping (HTTPConnection) -> Void) {
        deadline?.cancel()
        deadline = channel.eventLoop.assumeIsolated().scheduleTask(in: time) { act(self) }
    }
}

/// The last handler: answers request after request, and ends a connection that is over its time.
private final class HTTPExchange: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let connection: HTTPConnection
    private var head: HTTPRequestHead?
    private var hasBody = false
    /// The answer is under way, and counted.
    private var isAnswering = false
    private var deadline: Scheduled<Void>?
    private var isQuiescing = false

    /// For an answer to be read.
    private static let farewell = TimeAmount.seconds(1)

    init(_ connection: HTTPConnection) { self.connection = connection }

    private var settings: HTTPConnections.Settings { connection.settings }

    func handlerAdded(context: ChannelHandlerContext) { close(context, in: settings.idle) }

    func handlerRemoved(context: ChannelHandlerContext) {
        deadline?.cancel()
        end()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head):
            self.head = head
            hasBody = false
        case .body: hasBody = true
        case .end:
            guard let head else { return }
            isAnswering = true
            connection.began()
            close(context, in: settings.answering)
            let source = ConnectionSource(connection.channel.remoteAddress)
            let request = HTTPRequest(head.method, head.uri, fields: head.headers, from: source)
            guard request.method == .GET || request.method == .HEAD else {
                return respond(context, to: head, .methodNotAllowed, keepAlive: false)
            }
            if hasBody { return respond(context, to: head, .bodyRefused, keepAlive: false) }
            settings.answer(request, context.eventLoop).assumeIsolated().whenComplete { result in
                // Computed off the loop, it comes when the connection may have gone.
                guard context.channel.isActive else { return }
                switch result {
                case .success(let answer): self.respond(context, to: head, answer, keepAlive: head.isKeepAlive)
                case .failure: context.close(promise: nil)
                }
            }
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        // What is no HTTP was answered before it came here. A close while there is more to read would take the answer back.
        if error is HTTPParserError { close(context, in: Self.farewell) } else { context.close(promise: nil) }
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        switch event {
        case is ChannelShouldQuiesceEvent: isQuiescing = true
        // Nothing comes any more; what was asked is answered still.
        case ChannelEvent.inputClosed where head == nil: context.close(promise: nil)
        default: break
        }
        context.fireUserInboundEventTriggered(event)
    }

    private func respond(_ context: ChannelHandlerContext, to head: HTTPRequestHead, _ answer: HTTPAnswer, keepAlive: Bool) {
        let keepAlive = keepAlive && !isQuiescing
        var fields = answer.fields
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
            self.end()
            self.close(context, in: self.settings.idle)
        }
    }

    private func end() {
        if isAnswering { connection.answered() }
        isAnswering = false
    }

    private func close(_ context: ChannelHandlerContext, in time: TimeAmount) {
        deadline?.cancel()
        deadline = context.eventLoop.assumeIsolated().scheduleTask(in: time) { context.close(promise: nil) }
    }
}
