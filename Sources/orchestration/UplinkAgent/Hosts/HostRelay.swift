import Logging
import NFTables
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Synchronization

/// Hands on what the tunnel brings for a host by name or IPv6, which nf_tables cannot: it sends such connections to a port of this
/// process, at the tunnel's address, where nobody else comes.
final class HostRelay: Sendable {
    /// Connections, and UDP sessions, at a time: each takes two files.
    static let mostConnections = 8_192

    struct Demand: Equatable, Sendable {
        /// This uplink's in the tunnel.
        var address: IPv4Address
        var hosts: [ForwardKey: RelayedHost]
    }

    private struct Listener {
        var host: RelayedHost
        var channel: any Channel
        var port: Port
    }

    private let threads: CarryingThreads
    private let dialer: HostDialer
    private let budget = HostBudget(most: HostRelay.mostConnections)
    private let logger: Logger
    private let listeners = Mutex<(address: IPv4Address?, [ForwardKey: Listener])>((nil, [:]))

    init(threads: CarryingThreads, resolver: HostResolver, logger: Logger) {
        self.threads = threads
        self.logger = logger
        dialer = HostDialer(resolver: resolver)
    }

    /// Listens for what is demanded, and no longer for what is not; connections go on. Must come one at a time.
    /// - Returns: the ports at the tunnel's address; one that cannot be listened at is left out.
    func settle(_ demand: Demand) async -> [ForwardKey: Port] {
        let gone = listeners.withLock { listeners in
            let isMoved = listeners.address != demand.address
            let gone = listeners.1.filter { isMoved || demand.hosts[$0.key] != $0.value.host }
            for key in gone.keys { listeners.1[key] = nil }
            listeners.address = demand.address
            return gone.values.map(\.channel)
        }
        for channel in gone { try? await channel.close().get() }
        for (key, host) in demand.hosts where listeners.withLock({ $0.1[key] == nil }) {
            do {
                let channel = try await listen(at: demand.address, key.protocol, host)
                guard let port = channel.localAddress?.port.flatMap({ try? Port($0) }) else { continue }
                listeners.withLock { $0.1[key] = Listener(host: host, channel: channel, port: port) }
            } catch {
                logger.error("cannot hand on to a host", metadata: ["host": "\(host.host)", "reason": "\(error)"])
            }
        }
        return listeners.withLock { $0.1.mapValues(\.port) }
    }

    func end() async { _ = await settle(Demand(address: IPv4Address(number: 0), hosts: [:])) }

    /// IP_FREEBIND of linux/in.h: the tunnel may not have its address yet.
    private static let freeBind = ChannelOptions.Types.SocketOption(level: .ip, name: .init(rawValue: 15))

    private func listen(at address: IPv4Address, _ transport: TransportProtocol, _ host: RelayedHost) async throws -> any Channel
    {
        let place = try SocketAddress(ipAddress: "\(address)", port: 0)
        let (group, dialer, budget, logger) = (threads.eventLoops, dialer, budget, logger)
        switch transport {
        case .tcp:
            return try await ServerBootstrap(group: group)
                .serverChannelOption(.backlog, value: 512)
                .serverChannelOption(Self.freeBind, value: 1)
                .childChannelOption(.autoRead, value: false)
                .childChannelOption(.allowRemoteHalfClosure, value: true)
                .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
                .childChannelInitializer { channel in
                    guard budget.take() else { return channel.eventLoop.makeFailedFuture(HostBudget.Full()) }
                    channel.closeFuture.whenComplete { _ in budget.give() }
                    return HostRelay.join(channel, to: host, dialer, logger)
                }
                .bind(to: place).get()
        case .udp:
            return try await DatagramBootstrap(group: group)
                .channelOption(Self.freeBind, value: 1)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHandler(
                            HostSessions(host, dialer.resolver, budget, logger))
                    }
                }
                .bind(to: place).get()
        }
    }

    /// Dials, and joins both connections; a host that cannot be reached is a reset, as it would be through nf_tables.
    private static func join(
        _ channel: any Channel, to host: RelayedHost, _ dialer: HostDialer, _ logger: Logger
    ) -> EventLoopFuture<Void> {
        let loop = channel.eventLoop
        return loop.makeCompletedFuture {
            try channel.pipeline.syncOperations.addHandler(
                HostJoint { near in
                    dialer.connect(to: host, on: loop) {
                        ClientBootstrap(group: loop)
                            .channelOption(.autoRead, value: false)
                            .channelOption(.allowRemoteHalfClosure, value: true)
                            .channelOption(.tcpOption(.tcp_nodelay), value: 1)
                    }.assumeIsolated().whenComplete { result in
                        switch result {
                        case .success(let far): near.join(far)
                        case .failure(let error):
                            logger.debug(
                                "a host takes no connection", metadata: ["host": "\(host.host)", "reason": "\(error)"])
                            near.abort()
                        }
                    }
                })
        }
    }
}
