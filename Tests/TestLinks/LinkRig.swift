import Glibc
public import LinkCarriers
import LinkProtocol
public import LinkRelay
public import LinkStreams
public import LinkUplink
public import Logging
import NIOCore
public import NIOPosix
import NetworkTypes
public import Sodium
import Synchronization

/// An edge and an uplink over loopback, joined by links. Each rig has a loopback address of its own.
public final class LinkRig: Sendable {
    private static let nextAddress = Atomic<Int>(1)

    public static let logger = Logger(label: "links") { _ in SwiftLogNoOpLogHandler() }

    public let group: MultiThreadedEventLoopGroup
    public let relayKey: LinkPrivateKey
    public let uplinkKey: LinkPrivateKey
    public let relay: LinkRelay
    public let address: String
    public let service: RelayService
    public let linkPort: UInt16
    /// Where WebSockets come in, and the path.
    public let webSocketPort: UInt16
    public static let path = "/a-secret-path"

    /// `targets` are sockets at 127.0.0.1 whose ports are the tunnel's too.
    public init(
        tcp: [UInt16] = [], udp: [UInt16] = [], timing: LinkTiming = LinkTiming(), uplinkKey: LinkPrivateKey? = nil
    ) async throws {
        group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        relayKey = try .generate()
        self.uplinkKey = try uplinkKey ?? .generate()
        let number = Self.nextAddress.add(1, ordering: .relaxed).newValue
        let own = Int(getpid())
        address = "127.\(100 + own % 100).\(own / 100 % 250).\(number)"
        service = RelayService(
            uplinks: [RelayUplink(pin: self.uplinkKey.pin, address: try IPv4Address(parsing: address))],
            tcpPorts: try Set(tcp.map { try Port($0) }), udpPorts: try Set(udp.map { try Port($0) }))
        relay = try LinkRelay(
            key: relayKey, service: service, build: "test", instance: 7, timing: timing, group: group, logger: Self.logger)
        linkPort = UInt16(try await relay.listen(at: SocketAddress(ipAddress: "127.0.0.1", port: 0)) ?? 0)
        webSocketPort = UInt16(
            try await relay.listen(
                at: SocketAddress(ipAddress: "127.0.0.1", port: 0), for: .webSocket(path: Self.path)) ?? 0)
    }

    public var carrier: LinkCarrier {
        get throws { try tls(port: linkPort) }
    }

    public var webSocket: LinkCarrier {
        get throws { try webSocket(port: webSocketPort) }
    }

    /// `wss://` where there are `roots`, or `isSecure`.
    public func webSocket(
        port: UInt16, path: String = LinkRig.path, isSecure: Bool = false, roots: [UInt8]? = nil
    ) throws -> LinkCarrier {
        let host = try HostAddress(parsing: "127.0.0.1")
        let port = try Port(port)
        guard let edge = WebSocketEdge(isSecure: isSecure || roots != nil, host: host, port: port, path: path, roots: roots)
        else {
            throw RigError(what: "a path")
        }
        return .webSocket(edge)
    }

    public func tls(port: UInt16) throws -> LinkCarrier {
        .tls(host: try HostAddress(parsing: "127.0.0.1"), port: try Port(port), serverName: nil)
    }

    public func uplink(
        key: LinkPrivateKey? = nil, pin: SHA256Digest? = nil, connections: Int = 1, carriers: [LinkCarrier]? = nil,
        proxy: HTTPProxy? = nil, timing: LinkTiming = LinkTiming(), inbox: LinkUplink.Inbox? = nil,
        ssh: SSHOpening? = nil
    ) throws -> LinkUplink {
        var configuration = LinkUplink.Configuration(
            key: key ?? uplinkKey, pin: pin ?? relayKey.pin, carriers: try carriers ?? [carrier])
        configuration.connections = connections
        configuration.build = "test"
        configuration.instance = 9
        configuration.timing = timing
        configuration.proxy = proxy
        configuration.inbox = inbox
        configuration.ssh = ssh
        let host = try HostAddress(parsing: "127.0.0.1")
        return try LinkUplink(configuration, group: group, logger: Self.logger) { header in
            guard let port = try? Port(header.tunnelPort) else { return nil }
            return StreamTarget(host: host, port: port)
        }
    }

    /// Another process of the edge, as it were: at the same doors and tunnel ports.
    public func follower(key: LinkPrivateKey? = nil) async throws -> LinkRelay {
        let follower = try LinkRelay(
            key: key ?? relayKey, service: service, build: "follower", instance: 8, group: group, logger: Self.logger)
        _ = try await follower.listen(at: SocketAddress(ipAddress: "127.0.0.1", port: Int(linkPort)))
        return follower
    }

    /// With `uplink` at work, once its links are up.
    public func running(
        _ uplink: LinkUplink, _ body: @Sendable (LinkRig) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { await uplink.run() }
            guard
                await comes({
                    let isLinked = await !self.relay.status.isEmpty
                    return isLinked && uplink.status.allSatisfy { $0.carrier != nil }
                })
            else {
                throw RigError(what: "no link: \(uplink.status)")
            }
            do {
                try await body(self)
            } catch {
                tasks.cancelAll()
                throw error
            }
            tasks.cancelAll()
            try await tasks.waitForAll()
        }
    }

    /// A connection through the links; waits until the edge listens.
    public func connect(_ port: UInt16) async throws -> Socket {
        let address = address
        return try await blocking {
            for _ in 0..<500 {
                do {
                    return try Socket.connected(to: address, port: port)
                } catch let error as SocketError where error.code == ECONNREFUSED {
                    usleep(20_000)
                }
            }
            throw RigError(what: "\(address):\(port) is not listened at")
        }
    }

    deinit { group.shutdownGracefully { _ in } }
}

public struct RigError: Error {
    public let what: String

    public init(what: String) { self.what = what }
}
