import HTTPServing
public import Logging
public import NIOCore
import NIOHTTP1
public import NIOPosix
import NIOSSL
public import PrometheusMetrics
public import ServiceLifecycle

/// Serves `/metrics`, the leader's and the others' alike.
public struct MetricsServer: Service {
    public static let flag = "--metrics-bind-address"

    /// Who may read, and how it travels: `--metrics-secure`.
    public enum Security: Sendable {
        /// HTTP, for everybody.
        case off
        /// HTTPS from TLS 1.2 on, for those whom `review` lets through.
        /// - `certificate`: followed when its files change; nil for a self-signed one made in memory.
        /// - `http2`: `--enable-http2`; HTTP/1.1 alone otherwise.
        case on(certificate: CertificateFiles?, http2: Bool, review: AccessReview)
    }

    private let address: ListenAddress
    private let security: Security
    private let registry: MetricRegistry
    private let group: any EventLoopGroup
    private let logger: Logger
    private let onListening: @Sendable (SocketAddress) -> Void

    /// As controller-runtime's server: a scraper that comes once a minute keeps its connection.
    private static let limits = EndpointLimits(connections: 128, idle: .seconds(90))

    /// - Parameter onListening: told the address in use, once it is.
    public init(
        address: ListenAddress, security: Security, registry: MetricRegistry,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) {
        self.address = address
        self.security = security
        self.registry = registry
        self.group = group
        self.logger = logger
        self.onListening = onListening
    }

    /// Ends at graceful shutdown, when requests under way are answered.
    /// - Throws: `ServingError` when it cannot listen, or has no certificate to begin with.
    public func run() async throws {
        switch security {
        case .off: try await server(.plain, gate: nil).run()
        case .on(let files, let http2, let review):
            let certificate = ServingCertificate(try files.map(ServingCertificate.read) ?? ServingCertificate.selfSigned())
            let gate = AccessGate(review: review, logger: logger)
            let server = server(.tls(certificate.configuration(http2: http2), http2: http2), gate: gate)
            try await withThrowingDiscardingTaskGroup { tasks in
                if let files { tasks.addTask { await certificate.follow(files, logger: logger) } }
                defer { tasks.cancelAll() }
                try await server.run()
            }
        }
    }

    private func server(_ transport: EndpointServer.Transport, gate: AccessGate?) -> EndpointServer {
        EndpointServer(
            name: "metrics", flag: Self.flag, address: address, transport: transport, limits: Self.limits, group: group,
            logger: logger, onListening: onListening
        ) { [registry] request in
            guard request.path == "/metrics" else { return .notFound }
            if let refusal = await gate?.refusal(for: request) { return refusal }
            return HTTPAnswer(.ok, contentType: Exposition.contentType, body: ByteBuffer(string: registry.render()))
        }
    }
}
