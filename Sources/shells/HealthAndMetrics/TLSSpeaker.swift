import HTTPServing
import NIOCore
import NIOHTTP1
import NIOHTTP2
import NIOSSL
import NIOTLS

/// What a connection of HTTPS begins with: TLS, and then the HTTP that both sides can.
struct TLSSpeaker: Sendable {
    private let context: NIOSSLContext
    private let http2: Bool
    private let limits: EndpointLimits

    /// Of one connection at once: a scraper sends one request at a time.
    private static let streams = 16

    init(_ configuration: TLSConfiguration, http2: Bool, limits: EndpointLimits) throws {
        context = try NIOSSLContext(configuration: configuration)
        self.http2 = http2
        self.limits = limits
    }

    func begin(_ connection: HTTPConnection) throws {
        let channel = connection.channel
        let loop = channel.eventLoop.assumeIsolated()
        let deadline = loop.scheduleTask(in: limits.handshake) { channel.close(promise: nil) }
        channel.closeFuture.whenComplete { _ in deadline.cancel() }
        let negotiated = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(NIOSSLServerHandler(context: context))
        try pipeline.addHandler(
            ApplicationProtocolNegotiationHandler { [self] result, channel in
                channel.eventLoop.makeCompletedFuture {
                    deadline.cancel()
                    if http2, case .negotiated("h2") = result {
                        try speakHTTP2(on: negotiated.value)
                    } else {
                        try negotiated.value.speakHTTP1()
                    }
                }
            })
    }

    private func speakHTTP2(on connection: HTTPConnection) throws {
        let channel = connection.channel
        // It says goodbye; the times are the connection's, for these begin with a channel, and with a client's acknowledgement.
        let manager = NIOHTTP2ServerConnectionManagementHandler(
            eventLoop: channel.eventLoop, configuration: .init(maxIdleTime: nil, maxAge: nil, maxGraceTime: nil, keepalive: nil))
        var configuration = NIOHTTP2Handler.ConnectionConfiguration()
        configuration.initialSettings = [
            HTTP2Setting(parameter: .maxConcurrentStreams, value: Self.streams),
            HTTP2Setting(parameter: .maxHeaderListSize, value: EndpointLimits.headerBytes),
        ]
        let bound = NIOLoopBound(connection, eventLoop: channel.eventLoop)
        let pipeline = channel.pipeline.syncOperations
        try pipeline.addHandler(
            NIOHTTP2Handler(
                mode: .server, eventLoop: channel.eventLoop, connectionConfiguration: configuration,
                streamConfiguration: .init(), streamDelegate: manager.http2StreamDelegate
            ) { stream in
                stream.eventLoop.makeCompletedFuture {
                    let pipeline = stream.pipeline.syncOperations
                    try pipeline.addHandler(HTTP2FramePayloadToHTTP1ServerCodec())
                    try pipeline.addHandler(bound.value.exchange())
                }
            })
        try pipeline.addHandler(manager)
        connection.speakStreams()
    }
}
