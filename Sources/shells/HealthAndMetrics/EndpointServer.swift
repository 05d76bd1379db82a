import Glibc
import HTTPServing
import Logging
import NIOCore
import NIOSSL
import ServiceLifecycle

/// How many connections an endpoint holds, and how long each may keep it waiting.
struct EndpointLimits: Sendable {
    /// At once. One source has half of them: whoever takes all of his loses one of his own to the next.
    var connections: Int
    /// Without a request under way, and until the first is whole.
    var idle: TimeAmount
    /// Of TLS.
    var handshake = TimeAmount.seconds(10)
    /// For an answer, also at shutdown: longer than a review of the API server may take.
    var answering = TimeAmount.seconds(15)

    /// Of all header fields of a request; a bearer token of OIDC takes some kilobytes.
    static let headerBytes = 32 * 1024
}

/// Serves one address until shutdown.
struct EndpointServer: Sendable {
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
    let limits: EndpointLimits
    let group: any EventLoopGroup
    let logger: Logger
    /// Told the address in use, once it is.
    let onListening: @Sendable (SocketAddress) -> Void
    let answer: @Sendable (HTTPRequest) async -> HTTPAnswer

    /// Ends at graceful shutdown, when requests under way are answered.
    /// - Throws: `ServingError` when it cannot listen.
    func run() async throws(ServingError) {
        let listener = try await listen()
        let socket = listener.channel
        await withTaskCancellationHandler {
            await withGracefulShutdownHandler {
                try? await socket.closeFuture.get()
            } onGracefulShutdown: {
                socket.close(promise: nil)
            }
        } onCancel: {
            socket.close(promise: nil)
        }
        try? await listener.quiesce().get()
    }

    private func listen() async throws(ServingError) -> HTTPListener {
        let candidates = address.candidates
        for (index, host) in candidates.enumerated() {
            do {
                return try await listen(host: host)
            } catch {
                // A port that is taken is taken on the other family too.
                if index == candidates.count - 1 || !lacksFamily(error) {
                    throw .cannotListen(flag: flag, address: "\(address)", cause: "\(error)")
                }
            }
        }
        throw .cannotListen(flag: flag, address: "\(address)", cause: "it has no address")
    }

    private func lacksFamily(_ error: any Error) -> Bool {
        guard let error = error as? IOError else { return false }
        return [EAFNOSUPPORT, EADDRNOTAVAIL].contains(error.errnoCode)
    }

    private func listen(host: String) async throws -> HTTPListener {
        let port = Int(address.port)
        // By no name where it is none: a look-up finds no `::` where no interface has an address of IPv6.
        let place =
            try (try? SocketAddress(ipAddress: host, port: port)) ?? SocketAddress.makeAddressResolvingHost(host, port: port)
        let listener = try await HTTPListener.bind(to: place, halfClose: isPlain, on: group.next(), try settings())
        if let local = listener.channel.localAddress {
            let address = ListenAddress(host: local.ipAddress ?? host, port: UInt16(clamping: local.port ?? 0))
            logger.info("serving the \(name)", metadata: ["address": "\(address)"])
            onListening(local)
        }
        return listener
    }

    private var isPlain: Bool { if case .plain = transport { true } else { false } }

    private func settings() throws -> HTTPConnections.Settings {
        let answer = answer
        var settings = HTTPConnections.Settings(
            limits: .init(total: limits.connections, ofOneSource: max(1, limits.connections / 2)), idle: limits.idle,
            answering: limits.answering, headerBytes: EndpointLimits.headerBytes
        ) { request, loop in loop.makeFutureWithTask { await answer(request) } }
        if case .tls(let tls, let http2) = transport {
            let speaker = try TLSSpeaker(tls, http2: http2, limits: limits)
            settings.begin = { try speaker.begin($0) }
        }
        return settings
    }
}
