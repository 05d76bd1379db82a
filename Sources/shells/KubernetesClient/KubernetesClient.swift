import AsyncHTTPClient
public import KubernetesAPI
public import Logging
public import NIOCore
import NIOPosix

/// Talks to one API server over HTTP/1.1: keeps connections, certificates and tokens, and tries again where that is right.
///
/// Call `shutdown` before it goes.
public final class KubernetesClient: Sendable {
    public struct Options: Sendable {
        /// The first word of the header `User-Agent`, such as `tidegate/1.2.0`.
        public var agent: String
        public var connectTimeout = Duration.seconds(10)
        /// For one attempt, from the connection to the answer's last byte; for a watch to its head.
        public var requestTimeout = Duration.seconds(30)
        /// A watch on which nothing at all came for so long is given up: informers ask for ten minutes at most.
        public var silenceTimeout = Duration.seconds(660)
        /// Bytes of one answer, inflated.
        public var answerLimit = APIServer.answerLimit
        /// How many times a server's `Retry-After` is followed for one request (client-go: 10).
        public var waitLimit = 10
        /// Seconds; a `Retry-After` beyond is left to the caller.
        public var longestWait = 60
        /// Called for each attempt, from any thread.
        public var report: @Sendable (RequestReport) -> Void = { _ in }

        public init(agent: String) { self.agent = agent }
    }

    public let access: ClusterAccess
    /// Each with connections of its own, so that no number of watches keeps a request waiting, and nothing at all the Lease.
    private let (requests, watches, lease): (Transport, Transport, Transport)
    private let ownEventLoops: MultiThreadedEventLoopGroup?

    /// Reads the files that `access` names; no connection is made, no program run.
    /// - Parameter eventLoops: nil makes one thread of its own.
    public init(
        _ access: ClusterAccess, options: Options, eventLoops: (any EventLoopGroup)? = nil, logger: Logger
    ) throws(ClusterAccessError) {
        self.access = access
        let credentials = try CredentialSource(access, logger: logger)
        let own = eventLoops == nil ? MultiThreadedEventLoopGroup(numberOfThreads: 1) : nil
        ownEventLoops = own
        func transport(_ connections: Int) -> Transport {
            Transport(
                access, options: options, credentials: credentials,
                eventLoops: eventLoops ?? own ?? MultiThreadedEventLoopGroup.singleton, connections: connections)
        }
        requests = transport(256)
        // Each watch holds a connection.
        watches = transport(4096)
        lease = transport(4)
    }

    /// The seam that everything else talks through.
    public var server: APIServer { Self.server(requests, watches) }

    /// The same on connections that nobody else uses: for the Lease, which must be renewed whatever else is asked.
    public var leaseServer: APIServer { Self.server(lease, lease) }

    private static func server(_ requests: Transport, _ watches: Transport) -> APIServer {
        APIServer(
            answer: { request throws(APIError) in try await requests.answer(request) },
            stream: { request throws(APIError) in try await watches.stream(request) })
    }

    /// Ends all requests and closes all connections.
    public func shutdown() async {
        for transport in [requests, watches, lease] { await transport.shutdown() }
        // Nothing of it is used any more; there is nothing to do about an error.
        try? await ownEventLoops?.shutdownGracefully()
    }
}
