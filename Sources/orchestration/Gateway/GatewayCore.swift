import LinkRelay
import LinkStreams
import Logging
import Mesh
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Sodium
import TunnelProtocols

/// What the gateway has and does, on its one event loop: visitors come to the ports of the service, and go by whichever client is there: a link
/// first, then rathole, then wstunnel. A port is listened at while one is, so that without one a connection is refused.
final class GatewayCore {
    private final class Served {
        var listener: (any Channel)?
        var isBinding = false
        /// Why it cannot be listened at.
        var trouble: String?
        var visitors: UInt64 = 0
    }

    let relay: LinkRelay
    let wstunnel: WstunnelClients
    let rathole: RatholeClients
    /// Nil where there is none.
    private let mesh: MeshKeeper?
    private var meshState = MeshKeeper.State()
    private var meshDoor: MeshDoor?
    /// Why it has no end here; nil where it has one.
    private var meshFault: String?
    private(set) var configuration: GatewayConfiguration
    /// Where the remote comes in, and where the status is.
    private let doors: [Port]
    private let loop: any EventLoop
    private let logger: Logger
    private var ports: [RemotePort.Key: Served] = [:]
    /// Connections of clients of wstunnel and rathole, from before they show the password until they end.
    private var byPassword: [ObjectIdentifier: any Channel] = [:]
    /// Connections of visitors that are open.
    private(set) var openVisitors = 0
    /// Why the newest configuration is not in force; nil where it is.
    var trouble: String?

    /// After a port could not be listened at.
    private static let retry = TimeAmount.seconds(5)
    private static let backlog: Int32 = 4096

    init(
        _ configuration: GatewayConfiguration, relay: LinkRelay, mesh: MeshKeeper?, doors: [Port], on loop: any EventLoop,
        logger: Logger
    ) {
        self.configuration = configuration
        self.relay = relay
        self.mesh = mesh
        self.doors = doors
        self.loop = loop
        self.logger = logger
        wstunnel = WstunnelClients(loop, logger: logger)
        rathole = RatholeClients(logger: logger)
        wstunnel.changed = { [weak self] in self?.settle() }
        rathole.changed = { [weak self] in self?.settle() }
        let bound = NIOLoopBound(self, eventLoop: loop)
        loop.scheduleRepeatedTask(initialDelay: .seconds(1), delay: .seconds(1)) { _ in
            bound.value.wstunnel.sweep()
            bound.value.rathole.sweep()
            bound.value.meshDoor?.sweep()
        }
        apply(configuration)
        if mesh != nil {
            meshDoor = MeshDoor(on: loop) { [weak self] isPreferred in
                guard let self else { return nil }
                return self.relay.link(of: self.configuration.document.pin, on: self.loop, preferring: isPreferred)
            } isUsable: { [weak self] link in
                self.map { $0.relay.isUsable(link, of: $0.configuration.document.pin) } ?? false
            }
            meshDoor?.open()
        }
    }

    /// What is another is changed, what is the same goes on.
    func apply(_ configuration: GatewayConfiguration) {
        let isPasswordNew = configuration.password != self.configuration.password
        self.configuration = configuration
        if isPasswordNew { turnOut() }
        let keys = Set(configuration.document.ports.map(\.key))
        for (key, served) in ports where !keys.contains(key) {
            served.listener?.close(promise: nil)
            ports[key] = nil
        }
        for key in keys where ports[key] == nil { ports[key] = Served() }
        relay.update(Self.service(configuration))
        relay.hand(configuration.takes(.tidegate) ? told(configuration) : nil)
        wstunnel.keep(configuration.takes(.wstunnel) ? keys : [])
        rathole.keep(configuration.takes(.rathole) ? keys : [])
        settle()
    }

    /// Whoever came by the former password is out, and what goes by him: what is joined sees a reset.
    private func turnOut() {
        wstunnel.keep([])
        rathole.keep([])
        for channel in byPassword.values {
            // The other side of what is joined is not to take it for an end.
            (try? channel.pipeline.syncOperations.handler(type: SpliceEnd.self))?.abortBoth()
            LinkConnection.abort(channel)
        }
    }

    /// Whoever is on it is out when the password is another.
    func admitByPassword(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        byPassword[id] = channel
        let bound = NIOLoopBound(self, eventLoop: loop)
        channel.closeFuture.whenComplete { _ in bound.value.byPassword[id] = nil }
    }

    /// What the remote is told.
    private func told(_ configuration: GatewayConfiguration) -> [UInt8]? {
        var told = RemotePorts(ports: configuration.document.ports)
        do {
            let own = configuration.document.ports.map(\.key) + doors.map { RemotePort.Key(.tcp, $0) }
            let terms = mesh == nil ? nil : configuration.document.mesh
            mesh?.want(try terms.map { try .gateway($0, key: configuration.key, ports: own) })
            if var terms {
                terms.peer = try WireGuardPrivateKey(of: configuration.key).publicKey()
                told.mesh = terms
                told.resolver = ResolverSettings.ofThisHost
            }
            meshFault = nil
        } catch {
            meshFault = "\(error)"
        }
        return try? DocumentJSON.encode(told)
    }

    /// Who may link; the ports are listened at here.
    static func service(_ configuration: GatewayConfiguration) -> RelayService {
        let uplink = RelayUplink(pin: configuration.document.pin, address: IPv4Address(number: 0x7F00_0001))
        return RelayService(uplinks: configuration.takes(.tidegate) ? [uplink] : [], tcpPorts: [], udpPorts: [])
    }

    /// Another gateway follows: clients are sent there, and visitors taken until they have gone.
    func leave() {
        wstunnel.leave()
        rathole.leave()
        relay.leave()
        // The next one has the same keys: the remote would answer to both by turns.
        mesh?.want(nil)
    }

    var report: GatewayReport {
        GatewayReport(
            ports: configuration.document.ports.map {
                GatewayReport.PortReport(name: $0.name, client: client(of: $0.key), trouble: ports[$0.key]?.trouble)
            },
            mesh: mesh.map { _ in
                .init(isUp: meshState.isUp && link != nil, trouble: meshFault ?? meshDoor?.trouble ?? meshState.trouble)
            },
            trouble: trouble)
    }

    /// Visitors that came, by port.
    var visitors: [(port: RemotePort, count: UInt64)] {
        configuration.document.ports.map { ($0, ports[$0.key]?.visitors ?? 0) }
    }

    private var link: LinkConnection? { relay.link(of: configuration.document.pin, on: loop) }

    private func client(of key: RemotePort.Key) -> RemoteClientKind? {
        link != nil ? .tidegate : rathole.serve(key) ? .rathole : wstunnel.serve(key) ? .wstunnel : nil
    }

    func ratholeConnection(on channel: any Channel, known: @escaping () -> Void) -> RatholeConnection {
        admitByPassword(channel)
        return RatholeConnection(
            channel, clients: rathole, document: configuration.document, password: configuration.password, known: known)
    }

    func wstunnelRequest(_ token: Substring) -> WstunnelRequest? {
        do throws(InvalidValue) {
            return try WstunnelRequest(token: token)
        } catch {
            logger.warning("a client of wstunnel is refused", metadata: ["reason": "\(error)"])
            return nil
        }
    }

    func take(_ state: MeshKeeper.State) { meshState = state }

    // MARK: ports

    /// Listens where there is a client, and nowhere else.
    func settle() {
        mesh?.reach(link != nil)
        meshDoor?.sweep()
        for (key, served) in ports {
            let isWanted = client(of: key) != nil
            if !isWanted {
                served.listener?.close(promise: nil)
                served.listener = nil
                served.trouble = nil
            } else if served.listener == nil, !served.isBinding {
                listen(key, served)
            }
        }
    }

    private func listen(_ key: RemotePort.Key, _ served: Served) {
        served.isBinding = true
        let bound = NIOLoopBound((self, served), eventLoop: loop)
        bind(key, at: "::").flatMapError { _ in bound.value.0.bind(key, at: "0.0.0.0") }.whenComplete { result in
            let (core, served) = bound.value
            served.isBinding = false
            switch result {
            case .success(let channel):
                served.trouble = nil
                guard core.ports[key] === served, core.client(of: key) != nil else { return channel.close(promise: nil) }
                served.listener = channel
            case .failure(let error):
                if served.trouble == nil {
                    core.logger.error("a port cannot be listened at", metadata: ["port": "\(key)", "cause": "\(error)"])
                }
                served.trouble = "\(error)"
                core.loop.scheduleTask(in: Self.retry) { bound.value.0.settle() }
            }
        }
    }

    private func bind(_ key: RemotePort.Key, at host: String) -> EventLoopFuture<any Channel> {
        let bound = NIOLoopBound(self, eventLoop: loop)
        let port = Int(key.port.number)
        switch key.protocol {
        case .tcp:
            return ServerBootstrap(group: loop)
                .serverChannelOption(.backlog, value: Self.backlog)
                .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
                .serverChannelOption(.socketOption(.so_rcvbuf), value: .init(HeldConnection.receiveBuffer))
                .forStreams()
                .childChannelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let visitor = try HeldConnection(channel) { bound.value.take($0, key) }
                        // It waits for nobody else's sake.
                        channel.closeFuture.whenComplete { _ in withExtendedLifetime(visitor) {} }
                    }
                }
                .bind(host: host, port: port)
        case .udp:
            return DatagramBootstrap(group: loop)
                .channelOption(.socketOption(.so_reuseaddr), value: 1)
                .channelOption(.recvAllocator, value: FixedSizeRecvByteBufferAllocator(capacity: 65_536))
                .channelInitializer { channel in
                    channel.eventLoop.makeCompletedFuture {
                        let sessions = UDPSessions { source, deliver, over in
                            bound.value.flow(of: key, from: source, deliver: deliver, over: over)
                        }
                        try channel.pipeline.syncOperations.addHandler(sessions)
                    }
                }
                .bind(host: host, port: port)
        }
    }

    // MARK: visitors

    private func take(_ visitor: HeldConnection, _ key: RemotePort.Key) {
        ports[key]?.visitors += 1
        openVisitors += 1
        let bound = NIOLoopBound(self, eventLoop: loop)
        visitor.channel.closeFuture.whenComplete { _ in bound.value.openVisitors -= 1 }
        if let link, (try? link.join(visitor.channel, tunnelPort: key.port.number)) != nil { return visitor.release() }
        if rathole.take(visitor, of: key) { return }
        let way = WstunnelClients.Visitor(gone: { visitor.abort() }, joined: { try visitor.join($0) })
        if !wstunnel.take(way, of: key) { visitor.abort() }
    }

    private func flow(
        of key: RemotePort.Key, from source: SocketAddress, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void
    ) -> (any UDPFlow)? {
        ports[key]?.visitors += 1
        if let link { return try? link.openFlow(tunnelPort: key.port.number, deliver: deliver, over: over) }
        if let flow = rathole.flow(of: key, from: source, deliver: deliver, over: over) { return flow }
        let flow = WstunnelFlow(deliver: deliver, over: over)
        let way = WstunnelClients.Visitor(
            gone: { flow.close() }, joined: { try $0.pipeline.syncOperations.addHandler(flow) })
        return wstunnel.take(way, of: key) ? flow : nil
    }
}
