public import LinkCarriers
public import LinkProtocol
import LinkStreams
import LinkUplink
public import Logging
import NIOCore
import NIOPosix
public import NetworkTypes
import NodeDocument
public import RemoteDocuments
public import ServiceLifecycle
import Sodium
import Synchronization

/// The remote half of a RemoteService: links to its gateway, and leads what comes to the ports that the gateway names, at one host alone: whoever
/// has the gateway reaches nothing else from here.
public final class RemoteClient: Service {
    /// Links that are kept up.
    private static let connections = 2
    /// After being told to stop, for the connections that are open.
    private static let drain = Duration.seconds(15)

    private let token: RemoteToken
    private let carrier: LinkCarrier
    private let target: HostAddress?
    private let allowed: Set<Port>?
    private let proxy: HTTPProxy?
    private let exceptions: ProxyExceptions
    private let mesh: MeshOptions?
    private let logger: Logger
    private let code = Mutex<Int32?>(nil)

    /// - Parameters:
    ///   - target: where the ports are; nil for this host (127.0.0.1, then ::1).
    ///   - allowed: the only ports there that the gateway may name; nil for any.
    ///   - proxy: through which the gateway is reached; nil goes there directly.
    ///   - mesh: nil stays out of it.
    /// - Throws: `InvalidValue` where the token's URL is none.
    public init(
        _ token: RemoteToken, target: HostAddress?, allowed: Set<Port>? = nil, proxy: HTTPProxy?, exceptions: ProxyExceptions,
        mesh: MeshOptions? = nil, logger: Logger
    ) throws(InvalidValue) {
        guard var edge = WebSocketEdge(url: token.facts.url, path: token.facts.path) else {
            throw InvalidValue(expected: "URL of a gateway", given: token.facts.url, reason: "want ws://HOST or wss://HOST")
        }
        // The link within knows the gateway by its key.
        edge.outer?.checksCertificate = false
        self.token = token
        carrier = .webSocket(edge)
        self.target = target
        self.allowed = allowed
        self.proxy = proxy
        self.exceptions = exceptions
        self.mesh = mesh
        self.logger = logger
    }

    /// Of the command that ran within the mesh; nil where there was none.
    public var exitCode: Int32? { code.withLock { $0 } }

    /// Where the ports lead; the gateway tells it.
    private final class Table: Sendable {
        private let state = Mutex<(digest: [UInt8], targets: [RemotePort.Key: Port])>(([], [:]))

        var digest: [UInt8] { state.withLock(\.digest) }

        /// - Parameter allowed: what else is named is left out, and said to be.
        func take(_ bytes: [UInt8], allowed: Set<Port>?, _ mesh: MeshSide?, _ logger: Logger) {
            do throws(DocumentError) {
                let told = try DocumentJSON.decode(RemotePorts.self, from: bytes)
                let ports = told.ports.prefix(RemotePort.most)
                for port in ports where allowed?.contains(port.targetPort) == false {
                    logger.warning("a port is not among those of --allow-ports", metadata: ["port": "\(port.targetPort)"])
                }
                let targets = Dictionary(
                    ports.filter { allowed?.contains($0.targetPort) ?? true }.map { ($0.key, $0.targetPort) },
                    uniquingKeysWith: { first, _ in first })
                state.withLock { $0 = (SHA256.digest(of: bytes).bytes, targets) }
                let words = told.ports.map { "\($0.key) to \($0.targetPort)" }.joined(separator: ", ")
                logger.info("the gateway named its ports", metadata: ["ports": "\(printable(words, limit: 1000))"])
                if let mesh {
                    mesh.take(told)
                } else if told.mesh != nil {
                    logger.warning("the RemoteService has a mesh, which is joined by --mesh alone")
                }
            } catch {
                logger.error("the gateway's ports cannot be read; the former stay", metadata: ["reason": "\(error)"])
            }
        }

        func target(of header: StreamHeader) -> Port? {
            guard let port = try? Port(header.tunnelPort) else { return nil }
            return state.withLock { $0.targets[RemotePort.Key(header.kind == .tcp ? .tcp : .udp, port)] }
        }
    }

    /// Until shutdown, and then until the last connection ends or 15 s are over; and until the command within the mesh ends, where there is one.
    public func run() async throws {
        let table = Table()
        let logger = logger
        let (target, allowed) = (target, allowed)
        let side = mesh.map { MeshSide($0, key: token.key, allowed: allowed, logger: logger) }
        var configuration = LinkUplink.Configuration(key: token.key, pin: token.facts.pin, carriers: [carrier])
        configuration.proxy = proxy
        configuration.exceptions = exceptions
        configuration.connections = Self.connections
        configuration.build = "remote"
        configuration.instance = .random(in: 0 ... .max)
        configuration.inbox = LinkUplink.Inbox(
            most: RemotePorts.longest, digest: { table.digest }, take: { table.take($0, allowed: allowed, side, logger) })
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 2)
        let uplink = try LinkUplink(configuration, group: group, logger: logger) { header in
            if let side, header.kind == .udp, header.tunnelPort == Port.mesh.number {
                return side.door.map { port in
                    var target = StreamTarget(host: .ip(Self.loopback[0]), port: port)
                    target.offloadsDatagrams = true
                    return target
                }
            }
            return table.target(of: header).map { port in
                if let target { return StreamTarget(host: target, port: port) }
                return StreamTarget(port: port) { $0.makeSucceededFuture(Self.loopback) }
            }
        }
        logger.info(
            "a remote of RemoteService \(printable(token.facts.service))", metadata: ["gateway": "\(carrier)"])
        let links = Task { await uplink.run() }
        // The mesh ends first, and what runs in it.
        let ending = await cancelWhenGracefulShutdown { await side?.run() }
        if let ending {
            code.withLock { $0 = ending }
        } else {
            try? await gracefulShutdown()
        }
        uplink.setReady(false)
        uplink.drain()
        let end = ContinuousClock.now + Self.drain
        while await uplink.totals.streams > 0, .now < end { try? await Task.sleep(for: .milliseconds(100)) }
        links.cancel()
        await links.value
        try await group.shutdownGracefully()
    }

    /// What listens at `localhost` may do so at either.
    private static let loopback: [IPAddress] = [IPAddress("127.0.0.1"), IPAddress("::1")].compactMap(\.self)
}
