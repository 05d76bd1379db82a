import FileWatching
import Glibc
import HTTPServing
public import HostNetwork
import LinkRelay
public import Logging
import Mesh
import NIOCore
import NIOHTTP1
import NIOPosix
public import NetworkTypes
import NodeDocument
import PrometheusMetrics
import RemoteDocuments
public import ServiceLifecycle
import Sodium
import Syscalls

/// A remote service's gateway: takes its visitors in the cluster and its remote from outside, and joins them. Follows the Secret that the controller
/// writes: what is another there changes what is served, and cuts nothing else; a password that is another turns out who came by the former.
public struct Gateway: Service {
    private enum Source: Sendable {
        case folder(GatewayFolder)
        /// Of this life of the process.
        case fixed(GatewayConfiguration)
    }

    private let source: Source
    private let port: Port
    private let statusPort: Port
    private let wireguardGo: [WireGuardGo.Program]
    private let logger: Logger

    /// After being told to stop: clients find the next gateway meanwhile, and what is joined goes on.
    private static let drain = Duration.seconds(25)
    /// Between two looks at the folder where nothing tells of a change.
    private static let pace = Duration.seconds(10)

    /// - Parameters:
    ///   - folder: with the files that `GatewayDocument` names.
    ///   - port: for the remote.
    ///   - statusPort: for `/ready`, `/status` and `/metrics`.
    ///   - wireguardGo: for a mesh, where the kernel has no WireGuard; the newest is taken.
    public init(
        folder: String, port: Port = .gateway, statusPort: Port = .gatewayStatus, wireguardGo: [WireGuardGo.Program],
        logger: Logger
    ) {
        source = .folder(GatewayFolder(path: folder))
        self.wireguardGo = wireguardGo
        self.port = port
        self.statusPort = statusPort
        self.logger = logger
    }

    /// A gateway that nobody writes a Secret for, and all clients of which have one password (`PasswordKeys` says of links how).
    /// - Parameters:
    ///   - ports: those that are the gateway's own are left out, and the log says so: in a template they are whatever a pod has.
    ///   - mesh: nil for none.
    /// - Throws: where the password is too short, or a port is there twice.
    public init(
        ports: [RemotePort], forwards: [String], mesh: [CIDR]?, password: String, port: Port, statusPort: Port,
        wireguardGo: [WireGuardGo.Program], logger: Logger
    ) throws {
        let keys = try PasswordKeys(password)
        let terms = try mesh.map { networks in
            MeshTerms(
                peer: try WireGuardPrivateKey(of: keys.remoteKey).publicKey(), network: MeshBounds.usualNetwork,
                clusterCIDRs: networks, mtu: MeshBounds.usualMTU)
        }
        let doors = [port, statusPort]
        let own = ports.filter { $0.protocol == .tcp && doors.contains($0.port) }
        for one in own { logger.warning("a port is the gateway's own, and left out", metadata: ["port": "\(one.port)"]) }
        let document = GatewayDocument(
            service: "-", ports: ports.filter { !own.contains($0) }, clients: RemoteClientKind.allCases, pin: keys.remoteKey.pin,
            forwards: forwards,
            mesh: terms)
        if let fault = document.fault(doors: doors) { throw GatewayError(description: fault) }
        source = .fixed(
            GatewayConfiguration(document: document, key: keys.gatewayKey, password: password, path: keys.path))
        self.wireguardGo = wireguardGo
        self.port = port
        self.statusPort = statusPort
        self.logger = logger
    }

    /// Until shutdown, and then until the last connection ends or half a minute is over.
    /// - Throws: where there is nothing to begin with: a folder that cannot be read, a port that cannot be listened at.
    public func run() async throws {
        let configuration =
            switch source {
            case .folder(let folder): try folder.read()
            case .fixed(let configuration): configuration
            }
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let loop = group.next()
        let place = NIOLoopBoundBox<GatewayCore?>.makeEmptyBox(valueType: GatewayCore.self, eventLoop: loop)
        let relay = try LinkRelay(
            key: configuration.key, service: GatewayCore.service(configuration), build: "gateway",
            instance: .random(in: .min ... .max),
            group: group, logger: logger, changed: { loop.execute { place.value?.settle() } })
        let logger = logger
        let mesh = configuration.document.mesh.map { _ in
            MeshKeeper(wireguardGo: wireguardGo, logger: logger) { state in loop.execute { place.value?.take(state) } }
        }
        let doors = [port, statusPort]
        try await loop.submit {
            place.value = GatewayCore(configuration, relay: relay, mesh: mesh, doors: doors, on: loop, logger: logger)
        }.get()
        let keeping = mesh.map { mesh in Task { await mesh.run() } }
        let listeners = try await open(place, relay, on: loop)
        logger.info(
            "gateway",
            metadata: ["service": "\(configuration.document.service)", "ports": "\(configuration.document.ports.count)"])
        switch source {
        case .folder(let folder):
            await cancelWhenGracefulShutdown { await follow(folder, place, from: configuration, on: loop) }
        case .fixed: try? await gracefulShutdown()
        }
        try? await loop.submit { place.value?.leave() }.get()
        // The next gateway may not be ready; whoever comes here is taken as long as there is a way.
        let end = ContinuousClock.now + Self.drain
        try? await Task.sleep(for: .seconds(2))
        for listener in listeners { listener.close(promise: nil) }
        while .now < end {
            let visitors = try? await loop.submit { place.value?.openVisitors ?? 0 }.get()
            if relay.openLinks == 0, visitors == 0 { break }
            try? await Task.sleep(for: .milliseconds(100))
        }
        keeping?.cancel()
        await keeping?.value
        logger.info("stopped")
    }

    private func open(
        _ place: NIOLoopBoundBox<GatewayCore?>, _ relay: LinkRelay, on loop: any EventLoop
    ) async throws -> [any Channel] {
        let front = ServerBootstrap(group: loop)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelOption(.tcpOption(.tcp_nodelay), value: 1)
            .childChannelOption(.socketOption(.so_keepalive), value: 1)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPIDLE)), value: 20)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPINTVL)), value: 8)
            .childChannelOption(.tcpOption(.init(rawValue: TCP_KEEPCNT)), value: 3)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    guard let core = place.value else { throw ChannelError.eof }
                    try channel.pipeline.syncOperations.addHandler(FrontDoor(core, known: relay.admit(channel)))
                }
            }
        let settings = HTTPConnections.Settings(limits: .init(total: 64, ofOneSource: 16), idle: .seconds(15)) { request, loop in
            loop.makeSucceededFuture(Self.answer(request, place.value))
        }
        return [
            try await atAllAddresses(port) { try await front.bind(to: $0).get() },
            try await atAllAddresses(statusPort) { try await HTTPListener.bind(to: $0, on: loop, settings).channel },
        ]
    }

    /// Of IPv6 too where there is any.
    private func atAllAddresses(
        _ port: Port, _ bind: (NIOCore.SocketAddress) async throws -> any Channel
    ) async throws -> any Channel {
        do {
            return try await bind(NIOCore.SocketAddress(ipAddress: "::", port: Int(port.number)))
        } catch {
            return try await bind(NIOCore.SocketAddress(ipAddress: "0.0.0.0", port: Int(port.number)))
        }
    }

    // MARK: the folder

    private func follow(
        _ folder: GatewayFolder, _ place: NIOLoopBoundBox<GatewayCore?>, from first: GatewayConfiguration, on loop: any EventLoop
    ) async {
        let (looks, look) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        await withTaskGroup(of: Void.self) { tasks in
            tasks.addTask {
                do {
                    for try await _ in FileWatch(paths: [folder.path]) { look.yield() }
                } catch {
                    logger.warning("changes are seen some seconds late", metadata: ["cause": "\(error)"])
                }
            }
            // What was missed is seen all the same.
            tasks.addTask {
                while !Task.isCancelled {
                    try? await Task.sleep(for: Self.pace)
                    look.yield()
                }
                look.finish()
            }
            var known = first
            var told: String?
            for await _ in looks {
                var trouble: String?
                do throws(GatewayError) {
                    let configuration = try folder.read()
                    if configuration.key != first.key {
                        trouble = "the gateway's key is another: it is in force once the gateway is restarted"
                    }
                    if configuration != known {
                        known = configuration
                        logger.info("took up a change", metadata: ["ports": "\(configuration.document.ports.count)"])
                        try? await loop.submit { place.value?.apply(configuration) }.get()
                    }
                } catch {
                    trouble = "\(error)"
                }
                if let trouble, trouble != told { logger.error("what was in force stays", metadata: ["cause": "\(trouble)"]) }
                told = trouble
                try? await loop.submit { [trouble] in place.value?.trouble = trouble }.get()
            }
            tasks.cancelAll()
        }
    }

    // MARK: the status

    private static func answer(_ request: HTTPRequest, _ core: GatewayCore?) -> HTTPAnswer {
        guard let core else { return .line(.serviceUnavailable, "it is starting") }
        switch request.path {
        case "/ready": return .line(.ok, "ready")
        case "/status":
            guard let json = try? DocumentJSON.encode(core.report) else { return .line(.internalServerError, "no status") }
            return HTTPAnswer(.ok, contentType: "application/json", body: ByteBuffer(bytes: json + [UInt8(ascii: "\n")]))
        case "/metrics":
            return HTTPAnswer(.ok, contentType: Exposition.contentType, body: ByteBuffer(string: metrics(of: core)))
        default: return .line(.notFound, "here are /ready, /status and /metrics")
        }
    }

    private static func metrics(of core: GatewayCore) -> String {
        var exposition = Exposition()
        exposition.write(
            MetricFamily(
                .gauge, "tidegate_gateway_port_connected", labels: ["port"],
                help: "Whether the remote takes connections for a port."),
            zip(core.configuration.document.ports, core.report.ports).map { Sample($1.client != nil, labels: [$0.name]) })
        let report = core.report
        if let mesh = report.mesh {
            exposition.write(
                MetricFamily(.gauge, "tidegate_gateway_mesh_up", help: "Whether the mesh with the remote is up."),
                [Sample(mesh.isUp)])
        }
        exposition.write(
            MetricFamily(
                .counter, "tidegate_gateway_visitors_total", labels: ["port"],
                help: "Connections and UDP sessions that came to a port."),
            core.visitors.map { Sample($0.count, labels: [$0.port.name]) })
        return exposition.text
    }
}
