import Glibc
public import NIOCore
import NIOPosix

/// A socket that is listened on, and the connections that came by it, all on one event loop.
public struct HTTPListener: Sendable {
    /// The listening socket: close it to take no connection more.
    public let channel: any Channel
    private let connections: NIOLoopBound<HTTPConnections>

    /// More than come while one turn of the loop is under way.
    private static let backlog: Int32 = 1024

    /// - Parameters:
    ///   - halfClose: whether a client that has ended its side is answered still; not below TLS, which has an end of its own.
    ///   - sharesPort: whether another socket listens at the port, of an address that is narrower or wider.
    /// - Throws: `IOError` where it cannot listen there.
    public static func bind(
        to address: SocketAddress, halfClose: Bool = true, sharesPort: Bool = false, on loop: any EventLoop,
        _ settings: HTTPConnections.Settings
    ) async throws -> HTTPListener {
        let connections = try await loop.submit { NIOLoopBound(HTTPConnections(settings), eventLoop: loop) }.get()
        var bootstrap = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: backlog)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.allowRemoteHalfClosure, value: halfClose)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(Admission(connections.value))
                }
            }
        if sharesPort { bootstrap = bootstrap.serverChannelOption(.socketOption(.init(rawValue: SO_REUSEPORT)), value: 1) }
        return HTTPListener(channel: try await bootstrap.bind(to: address).get(), connections: connections)
    }

    /// Each connection ends after the answers that are under way; done when the last has gone. Nobody has to wait for it.
    public func quiesce() -> EventLoopFuture<Void> {
        let loop = channel.eventLoop
        return loop.flatSubmit { connections.value.quiesce(on: loop) }
    }
}
