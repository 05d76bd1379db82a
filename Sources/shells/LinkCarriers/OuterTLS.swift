import NIOCore
import NIOSSL
import NIOTLS
public import NetworkTypes

/// TLS around a link, which somebody on the way ends: a web server, an ingress, or the edge's own port where it has a certificate. It is checked as
/// browsers do; within it the link has its own.
public struct OuterTLS: Sendable, Equatable {
    /// Whose certificate it must be, also told by SNI.
    public var serverName: HostAddress
    /// By ALPN.
    public var applicationProtocol: String
    /// PEM certificates that it may be signed by; nil takes the system's.
    public var roots: [UInt8]?
    /// A folder with `tls.crt` and `tls.key`, which are shown where a client's certificate is asked for, and read anew for each link; nil for none.
    public var clientCertificate: String?
    /// False where whoever ends it need not be believed: the link within has keys of its own, and he could only keep it back.
    public var checksCertificate = true

    public init(serverName: HostAddress, applicationProtocol: String, roots: [UInt8]? = nil, clientCertificate: String? = nil) {
        self.serverName = serverName
        self.applicationProtocol = applicationProtocol
        self.roots = roots
        self.clientCertificate = clientCertificate
    }

    /// Fails with a `LinkCarrierError`.
    func shakeHands(on channel: any Channel) -> EventLoopFuture<Void> {
        let promise = channel.eventLoop.makePromise(of: Void.self)
        do {
            let name: String? = if case .name(let name) = serverName { name } else { nil }
            let handler = try NIOSSLClientHandler(
                context: NIOSSLContext(configuration: try configuration()), serverHostname: name)
            try channel.pipeline.syncOperations.addHandlers([handler, OuterHandshake("\(serverName)", done: promise)])
        } catch let error as LinkCarrierError {
            promise.fail(error)
        } catch {
            promise.fail(LinkCarrierError(.outerTLS("\(serverName)"), cause: "\(error)"))
        }
        return promise.futureResult
    }

    private func configuration() throws -> TLSConfiguration {
        var configuration = TLSConfiguration.makeClientConfiguration()
        configuration.applicationProtocols = [applicationProtocol]
        if !checksCertificate { configuration.certificateVerification = .none }
        if let roots { configuration.trustRoots = .certificates(try NIOSSLCertificate.fromPEMBytes(roots)) }
        guard let clientCertificate else { return configuration }
        do {
            let chain = try NIOSSLCertificate.fromPEMFile("\(clientCertificate)/tls.crt")
            configuration.certificateChain = chain.map { .certificate($0) }
            configuration.privateKey = .privateKey(try NIOSSLPrivateKey(file: "\(clientCertificate)/tls.key", format: .pem))
        } catch {
            throw LinkCarrierError(.clientCertificate(clientCertificate), cause: "\(error)")
        }
        return configuration
    }
}

/// Waits for the handshake that is not the link's own, and leaves the pipeline then.
private final class OuterHandshake: ChannelInboundHandler, RemovableChannelHandler {
    typealias InboundIn = ByteBuffer

    private let host: String
    private var done: EventLoopPromise<Void>?

    init(_ host: String, done: EventLoopPromise<Void>) {
        self.host = host
        self.done = done
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard case .handshakeCompleted? = event as? TLSUserEvent, let done else {
            return context.fireUserInboundEventTriggered(event)
        }
        self.done = nil
        // What is next on the way gets its place first.
        done.succeed()
        context.pipeline.syncOperations.removeHandler(self, promise: nil)
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        guard done != nil else { return context.fireErrorCaught(error) }
        fail("\(error)", context)
    }

    func channelInactive(context: ChannelHandlerContext) {
        fail("it broke off", context)
        context.fireChannelInactive()
    }

    private func fail(_ cause: String, _ context: ChannelHandlerContext) {
        done?.fail(LinkCarrierError(.outerTLS(host), cause: cause))
        done = nil
        context.close(promise: nil)
    }
}
