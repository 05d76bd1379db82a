import LinkProtocol
import NIOCore
public import NetworkTypes
public import Sodium

/// An HTTP proxy that lets connections through by CONNECT, as `HTTPS_PROXY` names it.
public struct HTTPProxy: Sendable, Equatable, CustomStringConvertible {
    public let host: HostAddress
    public let port: Port
    /// `user:password`, for Basic (RFC 7617); nil where the proxy wants none.
    public let credentials: SecretBytes?

    public init(host: HostAddress, port: Port, credentials: SecretBytes? = nil) {
        self.host = host
        self.port = port
        self.credentials = credentials
    }

    public var description: String { "\(host.bracketed):\(port)" }

    /// The request for a tunnel to `target`, which is `host:port`.
    func request(to target: String) -> String {
        var lines = ["CONNECT \(target) HTTP/1.1", "Host: \(target)"]
        if let credentials {
            lines.append("Proxy-Authorization: Basic \(credentials.withUnsafeBytes { encodeBase64(Array($0)) })")
        }
        return (lines + ["", ""]).joined(separator: "\r\n")
    }
}

/// Asks a proxy for the tunnel, and leaves the pipeline once that is open.
final class ProxyConnecting: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer
    typealias InboundOut = ByteBuffer
    typealias OutboundOut = ByteBuffer

    private let proxy: HTTPProxy
    private let target: String
    private var reader = ProxyAnswerReader()
    private var done: EventLoopPromise<Void>?

    init(_ proxy: HTTPProxy, target: String, done: EventLoopPromise<Void>) {
        self.proxy = proxy
        self.target = target
        self.done = done
    }

    func handlerAdded(context: ChannelHandlerContext) {
        context.writeAndFlush(wrapOutboundOut(ByteBuffer(string: proxy.request(to: target))), promise: nil)
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        guard done != nil else { return context.fireChannelRead(data) }
        var buffer = unwrapInboundIn(data)
        var offset = 0
        switch reader.read(buffer.readableBytesSpan, &offset) {
        case nil: break
        case .connected:
            // What is next on the way gets its place first, then its bytes.
            finish(.success(()))
            buffer.moveReaderIndex(forwardBy: offset)
            if buffer.readableBytes > 0 { context.fireChannelRead(wrapInboundOut(buffer)) }
            context.pipeline.syncOperations.removeHandler(self, promise: nil)
        case .refused(status: 407): fail("it wants other credentials (407)", context)
        case .refused(let status): fail("it answers \(status)", context)
        case .malformed: fail("it answers no HTTP", context)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail("it broke off", context)
        context.fireChannelInactive()
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) { fail("\(error)", context) }

    private func fail(_ cause: String, _ context: ChannelHandlerContext) {
        finish(.failure(LinkCarrierError(.proxy("\(proxy)"), cause: cause)))
        context.close(promise: nil)
    }

    private func finish(_ result: Result<Void, any Error>) {
        done?.completeWith(result)
        done = nil
    }
}
