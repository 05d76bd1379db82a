import LinkCarriers
import LinkRelay
import NIOCore
import NIOHTTP1
import NetworkTypes
import RemoteDocuments
import Sodium
import TunnelProtocols

/// The gateway's one public port: what a connection begins with says whose client it is. Whoever is nobody's is told nothing.
final class FrontDoor: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer

    private let core: GatewayCore
    /// It showed who it is.
    private let known: @Sendable () -> Void

    init(_ core: GatewayCore, known: @escaping @Sendable () -> Void) {
        self.core = core
        self.known = known
    }

    /// A link's TLS begins with a record of kind 22 (RFC 8446, section 5.1).
    private static let handshakeRecord: UInt8 = 22

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let bytes = unwrapInboundIn(data)
        guard let first = bytes.readableBytesView.first else { return }
        do {
            if first == Self.handshakeRecord {
                try core.relay.enter(context.channel, from: "\(context.remoteAddress?.description ?? "unknown")", known)
            } else if Rathole.begins(with: first), core.configuration.takes(.rathole) {
                try takeRathole(context.channel)
            } else if (UInt8(ascii: "A")...UInt8(ascii: "Z")).contains(first) {
                try takeHTTP(context.channel)
            } else {
                return context.close(promise: nil)
            }
            context.fireChannelRead(data)
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        } catch {
            context.close(promise: nil)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }

    private func takeRathole(_ channel: any Channel) throws {
        // A half close of a visitor is one of the data connection.
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: true)
        try channel.pipeline.syncOperations.addHandler(core.ratholeConnection(on: channel, known: known))
    }

    // MARK: WebSockets

    /// Where a WebSocket leads.
    private enum Route {
        case link
        case rathole
        case wstunnel(WstunnelClients.Upgrade)
    }

    /// What is known of a request.
    private struct Place {
        var route: Route?
        /// It is of a client that has the password.
        var isKnown = false
    }

    private func takeHTTP(_ channel: any Channel) throws {
        let place = NIOLoopBoundBox<Place>(Place(), eventLoop: channel.eventLoop)
        let bound = NIOLoopBound(self, eventLoop: channel.eventLoop)
        let known = known
        let handshake = WebSocketServerHandshake { channel, head in
            bound.value.route(head, on: channel, place)
        } ready: { channel in
            known()
            try bound.value.enter(channel, place.value.route)
        }
        try handshake.add(to: channel, refusal: { Refusal(isKnown: place.value.isKnown) })
    }

    /// The headers of the answer; nil refuses.
    private func route(
        _ head: HTTPRequestHead, on channel: any Channel, _ place: NIOLoopBoundBox<Place>
    ) -> EventLoopFuture<HTTPHeaders?> {
        let refused = channel.eventLoop.makeSucceededFuture(nil as HTTPHeaders?)
        let configuration = core.configuration
        if SHA256.digest(of: head.uri) == SHA256.digest(of: configuration.path) {
            place.value.route = .link
            return channel.eventLoop.makeSucceededFuture([:])
        }
        if head.uri == "/", configuration.takes(.rathole) {
            place.value.route = .rathole
            return channel.eventLoop.makeSucceededFuture([:])
        }
        guard configuration.takes(.wstunnel), Self.hasPassword(head, configuration),
            let token = WstunnelRequest.token(
                protocols: head.headers["Sec-WebSocket-Protocol"], cookie: head.headers.first(name: "Cookie"))
        else { return refused }
        place.value.isKnown = true
        known()
        core.admitByPassword(channel)
        guard let request = core.wstunnelRequest(token),
            let upgrade = core.wstunnel.take(request, on: channel, in: configuration.document)
        else { return refused }
        place.value.route = .wstunnel(upgrade)
        return upgrade.answer.futureResult.map { $0 ? ["Sec-WebSocket-Protocol": "v1"] : nil }
    }

    /// Whether the path's first part is the password; digests are compared, which tells nothing about it.
    private static func hasPassword(_ head: HTTPRequestHead, _ configuration: GatewayConfiguration) -> Bool {
        guard let prefix = WstunnelRequest.prefix(ofPath: head.uri) else { return false }
        return SHA256.digest(of: String(prefix)) == SHA256.digest(of: configuration.password)
    }

    private func enter(_ channel: any Channel, _ route: Route?) throws {
        let pipeline = channel.pipeline.syncOperations
        switch route {
        case .link:
            try pipeline.addHandler(WebSocketStream(.bytes, pings: false))
            try core.relay.enter(channel, from: "WebSocket", core.relay.admit(channel))
        case .rathole:
            try pipeline.addHandler(WebSocketStream(.bytes, pings: false))
            try pipeline.addHandler(core.ratholeConnection(on: channel, known: core.relay.admit(channel)))
        case .wstunnel(let upgrade):
            try pipeline.addHandler(WebSocketStream(upgrade.content, pings: true))
            try upgrade.join(channel)
        case nil: throw ChannelError.eof
        }
    }
}

/// Answers once, like a web server that has nothing there; to clients of wstunnel, who have the password, as theirs does.
private final class Refusal: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    private let isKnown: Bool

    init(isKnown: Bool) { self.isKnown = isKnown }

    /// At once: of a request that waited for its answer NIO gives no end.
    func handlerAdded(context: ChannelHandlerContext) {
        let text = isKnown ? "Invalid request" : ""
        let headers: HTTPHeaders = ["Content-Length": "\(text.utf8.count)", "Connection": "close"]
        let head = HTTPResponseHead(version: .http1_1, status: isKnown ? .badRequest : .notFound, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(.byteBuffer(ByteBuffer(string: text)))), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {}

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
