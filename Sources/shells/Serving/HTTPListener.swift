import Glibc
import HTTPTypes
import HummingbirdCore
import HummingbirdHTTP2
import HummingbirdTLS
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle

/// Serves one address until shutdown: the shell of the controller's servers.
struct HTTPListener: Sendable {
    enum Transport: Sendable {
        case plain
        case tls(TLSConfiguration, http2: Bool)
    }

    /// `metrics`, for the log.
    let name: String
    /// Where the address comes from.
    let flag: String
    let address: ListenAddress
    let transport: Transport
    let limits: ConnectionLimits
    let group: any EventLoopGroup
    let logger: Logger
    /// Told the address in use, once it is.
    let onListening: @Sendable (SocketAddress) -> Void
    let answer: @Sendable (HTTPRequest) async -> HTTPAnswer

    /// - Throws: `ServingError` when it cannot listen.
    func run() async throws(ServingError) {
        let candidates = address.candidates
        for (index, host) in candidates.enumerated() {
            do {
                try await serve(host: host)
                return
            } catch {
                if Task.isShuttingDownGracefully || Task.isCancelled { return }
                let isLast = index == candidates.count - 1
                // A port that is taken is taken on the other family too.
                if isLast || !lacksFamily(error) {
                    throw .cannotListen(flag: flag, address: "\(address)", cause: "\(error)")
                }
            }
        }
    }

    private func lacksFamily(_ error: any Error) -> Bool {
        guard let error = error as? IOError else { return false }
        return [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.errnoCode)
    }

    private func serve(host: String) async throws {
        var decoder = HTTP1Channel.Configuration.DecoderConfiguration()
        decoder.maxHeaderFieldSize = ConnectionLimits.headerBytes
        decoder.maxHeaderListSize = ConnectionLimits.headerBytes
        decoder.maxHeaderFieldCount = ConnectionLimits.headerFields
        let http1 = HTTP1Channel.Configuration(idleTimeout: limits.idle, httpDecoderConfiguration: decoder)
        switch transport {
        case .plain: try await serve(HTTP1Channel(responder: respond, configuration: http1), host: host)
        case .tls(let tls, http2: false):
            try await serve(
                TLSChannel(HTTP1Channel(responder: respond, configuration: http1), tlsConfiguration: tls), host: host)
        case .tls(let tls, http2: true):
            let configuration = HTTP2ChannelConfiguration(
                idleTimeout: .nanoseconds(limits.idle.nanoseconds),
                gracefulCloseTimeout: .nanoseconds(limits.farewell.nanoseconds), streamConfiguration: http1)
            try await serve(
                HTTP2UpgradeChannel(tlsConfiguration: tls, configuration: configuration, responder: respond), host: host)
        }
    }

    private func serve(_ channel: some ServerChildChannel, host: String) async throws {
        var quiet = logger
        quiet.logLevel = .critical
        try await Server(
            childChannelSetup: GuardedChannel(base: channel, limits: limits),
            configuration: ServerConfiguration(
                address: .hostname(host, port: Int(address.port)),
                availableConnectionsDelegate: MaximumAvailableConnections(limits.connections)),
            onServerRunning: { channel in
                guard let local = channel.localAddress else { return }
                logger.info(
                    "serving the \(name)",
                    metadata: [
                        "address": "\(ListenAddress(host: local.ipAddress ?? host, port: UInt16(clamping: local.port ?? 0)))"
                    ])
                onListening(local)
            },
            eventLoopGroup: group, logger: quiet
        ).run()
    }

    @Sendable private func respond(to request: Request, with writer: consuming ResponseWriter, on channel: any Channel)
        async throws
    {
        let answer =
            switch request.head.method {
            case .get, .head: request.head.hasBody ? .bodyRefused : await self.answer(request.head)
            default: HTTPAnswer.methodNotAllowed
            }
        var fields = answer.fields
        fields[.contentLength] = "\(answer.body.utf8.count)"
        try await writer.write(
            response: HTTPResponse(status: answer.status, headerFields: fields),
            body: request.head.method == .head ? ResponseBody() : ResponseBody(byteBuffer: ByteBuffer(string: answer.body)))
        // The body is read to its end and dropped; a slow one shall not hold the connection for ever.
        if request.head.hasBody { channel.eventLoop.scheduleTask(in: limits.farewell) { channel.close(promise: nil) } }
    }
}
