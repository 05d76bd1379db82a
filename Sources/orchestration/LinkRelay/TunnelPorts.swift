import Glibc
import LinkStreams
import NIOCore
import NIOPosix
import NetworkTypes

/// The tunnel ports of one uplink: listened at while a link is there, so that without one a connection is refused and whoever asks
/// tries elsewhere.
///
/// A port is listened at once on each event loop that has a link (SO_REUSEPORT), so that a connection lives where its link does and
/// no byte changes threads.
enum TunnelPorts {
    enum Kind: String, Sendable { case tcp, udp }

    struct Place: Hashable, Sendable {
        let kind: Kind
        let port: Port
        let eventLoop: ObjectIdentifier

        /// What all event loops' have in common.
        var socket: Socket { Socket(kind: kind, port: port) }
    }

    struct Socket: Hashable, Sendable {
        let kind: Kind
        let port: Port
    }

    /// Where to listen, and on which event loop, for links on these.
    /// - Parameter refusesTCP: whether connections are to go elsewhere. Datagrams come to where they came before.
    static func places(
        _ service: RelayService, on eventLoops: [any EventLoop], refusesTCP: Bool = false
    ) -> [Place: any EventLoop] {
        var places: [Place: any EventLoop] = [:]
        for loop in eventLoops {
            for port in refusesTCP ? [] : service.tcpPorts {
                places[Place(kind: .tcp, port: port, eventLoop: ObjectIdentifier(loop))] = loop
            }
            for port in service.udpPorts { places[Place(kind: .udp, port: port, eventLoop: ObjectIdentifier(loop))] = loop }
        }
        return places
    }

    /// Bytes that the kernel takes from Envoy beyond what was read of it: enough over loopback, and what a connection that waits for
    /// its link costs.
    private static let receiveBuffer = 256 << 10

    static var reusePort: ChannelOptions.Types.SocketOption {
        .init(level: .socket, name: NIOBSDSocket.Option(rawValue: SO_REUSEPORT))
    }

    /// - Parameter rest: how long a UDP session may rest.
    static func listen(
        _ place: Place, at address: IPv4Address, links: UplinkLinks, on eventLoop: any EventLoop,
        rest: @escaping @Sendable () -> TimeAmount
    ) -> EventLoopFuture<any Channel> {
        switch place.kind {
        case .tcp: listenTCP(place.port.number, at: address, links: links, on: eventLoop)
        case .udp: listenUDP(place.port.number, at: address, links: links, on: eventLoop, rest: rest)
        }
    }

    private static func listenTCP(
        _ port: UInt16, at address: IPv4Address, links: UplinkLinks, on eventLoop: any EventLoop
    ) -> EventLoopFuture<any Channel> {
        ServerBootstrap(group: eventLoop)
            .serverChannelOption(.backlog, value: 4096)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .serverChannelOption(reusePort, value: 1)
            .serverChannelOption(.socketOption(.so_rcvbuf), value: receiveBuffer)
            .forStreams()
            .childChannelInitializer { channel in
                do {
                    guard let link = links.best(on: channel.eventLoop) else { throw LinkClosed() }
                    try link.join(channel, tunnelPort: port)
                } catch {
                    LinkConnection.abort(channel)
                }
                return channel.eventLoop.makeSucceededVoidFuture()
            }
            .bind(host: address.description, port: Int(port))
    }

    private static func listenUDP(
        _ port: UInt16, at address: IPv4Address, links: UplinkLinks, on eventLoop: any EventLoop,
        rest: @escaping @Sendable () -> TimeAmount
    ) -> EventLoopFuture<any Channel> {
        DatagramBootstrap(group: eventLoop)
            .channelOption(.socketOption(.so_reuseaddr), value: 1)
            .channelOption(reusePort, value: 1)
            .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let sessions = UDPSessions(rest: rest) { _, deliver, over in
                        guard let link = links.best(on: channel.eventLoop) else { return nil }
                        return try? link.openFlow(tunnelPort: port, deliver: deliver, over: over)
                    }
                    try channel.pipeline.syncOperations.addHandler(sessions)
                }
            }
            .bind(host: address.description, port: Int(port))
    }
}
