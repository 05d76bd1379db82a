import LinkProtocol
import NIOCore
import NIOSSL
public import NetworkTypes
public import Sodium

/// An HTTP proxy that lets connections through by CONNECT, as `HTTPS_PROXY` names it.
public struct HTTPProxy: Sendable, Equatable, CustomStringConvertible {
    /// `https://`: TLS with the proxy, checked as browsers do.
    public var isSecure = false
    public let host: HostAddress
    public let port: Port
    /// `user:password`, for Basic (RFC 7617); nil where the proxy wants none.
    public let credentials: SecretBytes?

    public init(host: HostAddress, port: Port, credentials: SecretBytes? = nil, isSecure: Bool = false) {
        self.isSecure = isSecure
        self.host = host
        self.port = port
        self.credentials = credentials
    }

    public var description: String { "\(host.bracketed):\(port)" }

    /// Reads `http://user:password@host:port`, where all but the host may be missing, and overwrites it. User and password may have
    /// characters as `%41`. Nothing of them is in an error.
    public init(consumingURL url: inout [UInt8]) throws(LinkCarrierError) {
        defer { zero(&url) }
        var rest = url[...]
        if let end = rest.range(of: "://".utf8) {
            let scheme = String(decoding: rest[..<end.lowerBound], as: UTF8.self).lowercased()
            guard scheme == "http" || scheme == "https" else {
                throw LinkCarrierError(.proxyURL, cause: "it begins with \(scheme)://")
            }
            isSecure = scheme == "https"
            rest = rest[end.upperBound...]
        }
        rest = rest.prefix { $0 != UInt8(ascii: "/") }
        var secret: SecretBytes?
        if let end = rest.lastIndex(of: UInt8(ascii: "@")) {
            secret = try Self.credentials(rest[..<end])
            rest = rest[(end + 1)...]
        }
        let place = String(decoding: rest, as: UTF8.self)
        let colon = place.hasSuffix("]") ? nil : place.lastIndex(of: ":")
        let name = (colon.map { place[..<$0] } ?? place[...]).drop { $0 == "[" }.prefix { $0 != "]" }
        do throws(InvalidValue) {
            host = try HostAddress(parsing: String(name))
        } catch {
            throw LinkCarrierError(.proxyURL, cause: "its host is none")
        }
        let number = colon.map { Int(place[place.index(after: $0)...]) ?? 0 } ?? (isSecure ? 443 : 80)
        do throws(InvalidValue) {
            port = try Port(number)
        } catch {
            throw LinkCarrierError(.proxyURL, cause: "its port is none")
        }
        credentials = secret
    }

    private static func credentials(_ text: ArraySlice<UInt8>) throws(LinkCarrierError) -> SecretBytes {
        var plain: [UInt8] = []
        plain.reserveCapacity(text.count)
        var index = text.startIndex
        while index < text.endIndex {
            guard text[index] == UInt8(ascii: "%") else {
                plain.append(text[index])
                index += 1
                continue
            }
            let digits = text[(index + 1)...].prefix(2)
            guard digits.count == 2, let byte = UInt8(String(decoding: digits, as: UTF8.self), radix: 16) else {
                zero(&plain)
                throw LinkCarrierError(.proxyURL, cause: "in its user or password a % stands before no two hexadecimal digits")
            }
            plain.append(byte)
            index += 3
        }
        do throws(SodiumError) {
            return try SecretBytes(consuming: &plain)
        } catch {
            throw LinkCarrierError(.proxyURL, cause: "\(error)")
        }
    }

    /// TLS with the proxy; nil for `http://`.
    func outerTLS() throws(LinkCarrierError) -> NIOSSLClientHandler? {
        guard isSecure else { return nil }
        do {
            let name: String? = if case .name(let name) = host { name } else { nil }
            return try NIOSSLClientHandler(
                context: NIOSSLContext(configuration: .makeClientConfiguration()), serverHostname: name)
        } catch {
            throw LinkCarrierError(.proxy(description), cause: "\(error)")
        }
    }

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
        // Behind the proxy's own TLS what is written waits for its handshake.
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
