public import NIOCore
public import NIOHTTP1
import NIOWebSocket

/// NIO's handshake of a WebSocket's server, without its coders of frames: what follows are bytes.
public struct WebSocketServerHandshake: NIOTypedHTTPServerProtocolUpgrader {
    /// Bytes of a request's header at most, and of one of its lines.
    private static let longestHeader = 16 << 10

    private let handshake: NIOTypedWebSocketServerUpgrader<Void>
    private let ready: @Sendable (any Channel) throws -> Void

    /// - Parameters:
    ///   - answer: headers to answer with; nil refuses.
    ///   - ready: called on the channel's event loop.
    public init(
        answer: @escaping @Sendable (any Channel, HTTPRequestHead) -> EventLoopFuture<HTTPHeaders?>,
        ready: @escaping @Sendable (any Channel) throws -> Void
    ) {
        handshake = NIOTypedWebSocketServerUpgrader(shouldUpgrade: answer) { channel, _ in
            channel.eventLoop.makeSucceededVoidFuture()
        }
        self.ready = ready
    }

    /// Waits on `channel` for the request; one that is no WebSocket's, or is refused, goes to the handler that `refusal` makes.
    public func add(to channel: any Channel, refusal: @escaping @Sendable () -> any ChannelHandler) throws {
        let upgrade = NIOTypedHTTPServerUpgradeConfiguration(
            upgraders: [self],
            notUpgradingCompletionHandler: { channel in
                channel.eventLoop.makeCompletedFuture { try channel.pipeline.syncOperations.addHandler(refusal()) }
            })
        var configuration = NIOUpgradableHTTPServerPipelineConfiguration(upgradeConfiguration: upgrade)
        configuration.enablePipelining = false
        var limits = NIOHTTPDecoderLimitConfiguration()
        limits.maxHeaderFieldSize = Self.longestHeader
        limits.maxHeaderListSize = Self.longestHeader
        configuration.decoderConfiguration = limits
        let done = try channel.pipeline.syncOperations.configureUpgradableHTTPServerPipeline(configuration: configuration)
        done.whenFailure { _ in channel.close(promise: nil) }
    }

    public var supportedProtocol: String { handshake.supportedProtocol }
    public var requiredUpgradeHeaders: [String] { handshake.requiredUpgradeHeaders }

    public func buildUpgradeResponse(
        channel: any Channel, upgradeRequest: HTTPRequestHead, initialResponseHeaders: HTTPHeaders
    ) -> EventLoopFuture<HTTPHeaders> {
        handshake.buildUpgradeResponse(
            channel: channel, upgradeRequest: upgradeRequest, initialResponseHeaders: initialResponseHeaders)
    }

    public func upgrade(channel: any Channel, upgradeRequest: HTTPRequestHead) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture { try ready(channel) }
    }
}

/// The same of a client.
struct WebSocketClientHandshake: NIOTypedHTTPClientProtocolUpgrader {
    private let handshake = NIOTypedWebSocketClientUpgrader<Void> { channel, _ in channel.eventLoop.makeSucceededVoidFuture() }

    var supportedProtocol: String { handshake.supportedProtocol }
    var requiredUpgradeHeaders: [String] { handshake.requiredUpgradeHeaders }

    func addCustom(upgradeRequestHeaders: inout HTTPHeaders) {
        handshake.addCustom(upgradeRequestHeaders: &upgradeRequestHeaders)
    }

    func shouldAllowUpgrade(upgradeResponse: HTTPResponseHead) -> Bool {
        handshake.shouldAllowUpgrade(upgradeResponse: upgradeResponse)
    }

    func upgrade(channel: any Channel, upgradeResponse: HTTPResponseHead) -> EventLoopFuture<Void> {
        channel.eventLoop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(WebSocketBytes(isClient: true))
        }
    }
}
