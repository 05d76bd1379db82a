public import NIOCore
import NIOHTTP1
import NIOSSL
public import NetworkTypes
import Sodium

/// Where a WebSocket leads to the edge, through whatever web server is in front.
public struct WebSocketEdge: Sendable, Equatable, CustomStringConvertible {
    /// `wss://`: TLS with the web server; nil for `ws://`.
    public var outer: OuterTLS?
    public let host: HostAddress
    public let port: Port
    /// Begins with `/`; a secret, so it stands in no log.
    public let path: String

    /// Nil for a path that does not begin with `/` or has characters that no path has.
    /// - Parameter roots: PEM certificates that the web server's may be signed by; nil takes the system's.
    public init?(isSecure: Bool, host: HostAddress, port: Port, path: String, roots: [UInt8]? = nil) {
        self.init(
            outer: isSecure ? OuterTLS(serverName: host, applicationProtocol: "http/1.1", roots: roots) : nil, host: host,
            port: port,
            path: path)
    }

    /// The same, where TLS is for another name than the host's.
    public init?(outer: OuterTLS?, host: HostAddress, port: Port, path: String) {
        let isPath = path.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: "#") }
        guard path.hasPrefix("/"), isPath else { return nil }
        self.outer = outer
        self.host = host
        self.port = port
        self.path = path
    }

    private var isSecure: Bool { outer != nil }

    public var description: String { "\(isSecure ? "wss" : "ws")://\(host.bracketed):\(port)" }

    /// Opens the WebSocket on a channel that leads to the web server. Done when bytes can be written.
    func open(on channel: any Channel) throws -> EventLoopFuture<Void> {
        let isDefault = port.number == (isSecure ? 443 : 80)
        let request = HTTPRequestHead(
            version: .http1_1, method: .GET, uri: path,
            headers: ["Host": isDefault ? host.bracketed : "\(host.bracketed):\(port)", "Content-Length": "0"])
        let error = LinkCarrierError(.webSocket(description), cause: "no WebSocket is there")
        var upgrade = NIOTypedHTTPClientUpgradeConfiguration(
            upgradeRequestHead: request, upgraders: [WebSocketClientHandshake()],
            notUpgradingCompletionHandler: { $0.eventLoop.makeFailedFuture(error) })
        upgrade.upgradeRequestHead = request
        var configuration = NIOUpgradableHTTPClientPipelineConfiguration(upgradeConfiguration: upgrade)
        configuration.leftOverBytesStrategy = .forwardBytes
        return try channel.pipeline.syncOperations.configureUpgradableHTTPClientPipeline(configuration: configuration)
            .flatMapErrorThrowing { error in
                if error is LinkCarrierError { throw error }
                throw LinkCarrierError(.webSocket(description), cause: "\(error)").blaming(outer)
            }
    }
}

extension WebSocketEdge {
    /// Nil for what is no `ws://` or `wss://`.
    /// - Parameter path: for a URL that has none.
    public init?(url: String, path: String) {
        let scheme = url.prefix { $0 != ":" }.lowercased()
        guard scheme == "ws" || scheme == "wss", url.dropFirst(scheme.count).hasPrefix("://") else { return nil }
        let rest = url.dropFirst(scheme.count + 3)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        let (place, own) = (rest[..<slash], rest[slash...])
        let colon = place.hasSuffix("]") ? nil : place.lastIndex(of: ":")
        let name = (colon.map { place[..<$0] } ?? place).drop { $0 == "[" }.prefix { $0 != "]" }
        let number = colon.map { Int(place[place.index(after: $0)...]) ?? 0 } ?? (scheme == "wss" ? 443 : 80)
        guard let host = try? HostAddress(parsing: String(name)), let port = try? Port(number) else { return nil }
        self.init(isSecure: scheme == "wss", host: host, port: port, path: own.count > 1 ? String(own) : path)
    }
}

/// The edge's side: takes WebSockets at one path and answers anything else like a web server that has nothing there.
public enum WebSocketDoor {
    /// Waits for the request; `ready` gets the channel, whose bytes are then the WebSocket's. `path` is compared in constant time.
    public static func add(
        to channel: any Channel, path: String, ready: @escaping @Sendable (any Channel) throws -> Void
    ) throws {
        let secret = SHA256.digest(of: path)
        // Digests: their comparison tells nothing about the path.
        let handshake = WebSocketServerHandshake { channel, head in
            channel.eventLoop.makeSucceededFuture(SHA256.digest(of: head.uri) == secret ? [:] : nil)
        } ready: { channel in
            try channel.pipeline.syncOperations.addHandler(WebSocketBytes(isClient: false))
            try ready(channel)
        }
        try handshake.add(to: channel, refusal: { NotFound() })
    }
}

/// Answers 404 to whatever is asked, once.
private final class NotFound: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard case .end = unwrapInboundIn(data) else { return }
        let headers: HTTPHeaders = ["Content-Length": "0", "Connection": "close"]
        let head = HTTPResponseHead(version: .http1_1, status: .notFound, headers: headers)
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        let bound = NIOLoopBound(context, eventLoop: context.eventLoop)
        context.writeAndFlush(wrapOutboundOut(.end(nil))).whenComplete { _ in bound.value.close(promise: nil) }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { context.close(promise: nil) }
}
