public import NIOCore

/// What the connections of one listener share; it lives on one event loop.
public final class HTTPConnections {
    /// How the listener treats its connections.
    public struct Settings: Sendable {
        /// Of a request, and where it came: what is answered. A failure closes the connection.
        public typealias Answer = @Sendable (HTTPRequest, any EventLoop) -> EventLoopFuture<HTTPAnswer>

        public var limits: ConnectionBudget<ConnectionSource>.Limits
        /// From the opening, or the last answer, to the next whole request.
        public var idle: TimeAmount
        /// For an answer to be made, and to go out.
        public var answering: TimeAmount
        /// Of all header fields of a request; a kubelet and a scraper without a token send some hundred.
        public var headerBytes: Int
        /// What a connection that may stay begins with; HTTP/1.1 where there is nothing before it.
        public var begin: @Sendable (HTTPConnection) throws -> Void
        public var answer: Answer

        public init(
            limits: ConnectionBudget<ConnectionSource>.Limits, idle: TimeAmount, answering: TimeAmount = .seconds(10),
            headerBytes: Int = 8192, begin: @escaping @Sendable (HTTPConnection) throws -> Void = { try $0.speakHTTP1() },
            answer: @escaping Answer
        ) {
            self.limits = limits
            self.idle = idle
            self.answering = answering
            self.headerBytes = headerBytes
            self.begin = begin
            self.answer = answer
        }
    }

    let settings: Settings
    private var budget: ConnectionBudget<ConnectionSource>
    private var open: [HTTPConnection.ID: HTTPConnection] = [:]
    private var lastID: HTTPConnection.ID = 0
    private var whenGone: EventLoopPromise<Void>?

    public init(_ settings: Settings) {
        self.settings = settings
        budget = ConnectionBudget(settings.limits)
    }

    /// - Returns: nil when the connection is to be closed.
    func admit(_ channel: any Channel) -> HTTPConnection? {
        lastID += 1
        switch budget.opened(lastID, from: ConnectionSource(channel.remoteAddress)) {
        case .leave: return nil
        case .stay: break
        case .stayInsteadOf(let victim): open.removeValue(forKey: victim)?.channel.close(promise: nil)
        }
        let connection = HTTPConnection(lastID, channel, of: self)
        open[lastID] = connection
        return connection
    }

    /// The listener ends: each connection does so after the answers that are under way.
    /// - Returns: done when the last has gone, within the time that settings give to an answer.
    func quiesce(on loop: any EventLoop) -> EventLoopFuture<Void> {
        if open.isEmpty { return loop.makeSucceededVoidFuture() }
        let promise = whenGone ?? loop.makePromise()
        whenGone = promise
        for connection in open.values { connection.quiesce() }
        return promise.futureResult
    }

    func began(_ id: HTTPConnection.ID) { budget.began(id) }
    func answered(_ id: HTTPConnection.ID) { budget.answered(id) }

    func closed(_ id: HTTPConnection.ID) {
        budget.closed(id)
        open[id] = nil
        if open.isEmpty { whenGone?.succeed() }
    }
}

/// The first handler of a connection: HTTP is set up only for one that may stay.
public final class Admission: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer
    public typealias InboundOut = ByteBuffer

    private let connections: HTTPConnections
    private var connection: HTTPConnection?

    public init(_ connections: HTTPConnections) { self.connections = connections }

    public func channelActive(context: ChannelHandlerContext) {
        guard let connection = connections.admit(context.channel) else {
            context.close(promise: nil)
            return
        }
        self.connection = connection
        do {
            try connections.settings.begin(connection)
            context.fireChannelActive()
        } catch {
            context.close(promise: nil)
        }
    }

    public func channelInactive(context: ChannelHandlerContext) {
        if let connection {
            connection.closed()
            connections.closed(connection.id)
        }
        context.fireChannelInactive()
    }
}
