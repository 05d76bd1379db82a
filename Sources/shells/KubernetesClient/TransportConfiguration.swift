import AsyncHTTPClient
import Glibc
import NIOCore
import NIOHTTPCompression

extension HTTPClient.Configuration {
    static func kubernetes(_ access: ClusterAccess, _ options: KubernetesClient.Options, connections: Int) -> Self {
        var pool = ConnectionPool(idleTimeout: .seconds(60))
        pool.concurrentHTTP1ConnectionsPerHostSoftLimit = connections
        // Informers and reconciles come back with a backoff of their own, and want to know at once.
        pool.retryConnectionEstablishment = false
        var configuration = HTTPClient.Configuration(
            redirectConfiguration: .disallow,
            timeout: Timeout(
                connect: .nanoseconds(options.connectTimeout.nanoseconds),
                read: .nanoseconds(options.silenceTimeout.nanoseconds)),
            connectionPool: pool, decompression: .enabled(limit: .size(options.answerLimit)),
            http1_1ConnectionDebugInitializer: keepAlive)
        configuration.httpVersion = .http1Only
        if let name = access.tlsServerName { configuration.dnsOverride = [name: access.server.host] }
        return configuration
    }

    /// A peer that vanished without a word is noticed within a minute: 20 s of silence, then a probe every 10 s, thrice; what
    /// was sent and is not acknowledged within 45 s counts as well (tcp(7)).
    @Sendable private static func keepAlive(_ channel: any Channel) -> EventLoopFuture<Void> {
        let options: [(CInt, Int)] = [
            (TCP_KEEPIDLE, 20), (TCP_KEEPINTVL, 10), (TCP_KEEPCNT, 3), (TCP_USER_TIMEOUT, 45_000),
        ]
        return EventLoopFuture.andAllSucceed(
            [channel.setOption(.socketOption(.so_keepalive), value: 1)]
                + options.map { channel.setOption(.tcpOption(NIOBSDSocket.Option(rawValue: $0.0)), value: $0.1) },
            on: channel.eventLoop)
    }
}

extension Duration {
    var nanoseconds: Int64 { components.seconds * 1_000_000_000 + components.attoseconds / 1_000_000_000 }
}
