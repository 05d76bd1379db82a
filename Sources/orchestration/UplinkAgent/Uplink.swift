import HostNetwork
public import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import QuietMemory
import ServiceLifecycle
import UnixSignals

/// The uplink: from its start until it is told to stop.
public enum Uplink {
    /// Beyond the drain window, for everything to end.
    private static let timeToEnd = Duration.seconds(10)

    /// Runs until SIGTERM or SIGINT, and leaves the host as it was.
    /// - Parameter searchPath: where wireguard-go is looked for beside this program's folder unless the settings name it, as in `PATH`.
    public static func run(_ settings: UplinkSettings, searchPath: String, logger: Logger) async throws {
        OpenFiles.raise()
        let store = UplinkStore(ordinal: settings.ordinal)
        let events = KeeperEvents()
        // What relay and kubelet ask waits for nobody else.
        let group = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        let othersGroup = MultiThreadedEventLoopGroup(numberOfThreads: 1)
        // One for the host, one for names: neither waits for the other.
        let threads = NIOThreadPool(numberOfThreads: 2)
        let pageThreads = NIOThreadPool(numberOfThreads: 1)
        threads.start()
        pageThreads.start()
        let namespace = UplinkNamespace(
            bridge: settings.bridge,
            wireguardGo: settings.wireguardGo.map { [WireGuardGo.Program($0)] } ?? WireGuardGo.programs(path: searchPath))
        // Names of targets wait for no other name.
        let nameThreads = NIOThreadPool(numberOfThreads: 4)
        let resolver = HostResolver(threads: nameThreads)
        let carrying = CarryingThreads()
        let keeper = RunKeeper(
            settings: settings, store: store, host: namespace.host,
            hosts: HostRelay(threads: carrying, resolver: resolver, logger: logger), threads: threads, events: events,
            logger: logger)
        let watcher = ConfigWatcher(
            paths: [settings.documentPath, settings.keyPath], store: store, events: events, logger: logger)
        let prober = TargetProber(store: store, group: othersGroup, dialer: HostDialer(resolver: resolver), logger: logger)
        let responder = StatusResponder(store: store, pages: StatusPages(store: store, threads: pageThreads))
        let servers = StatusServers(
            responder: responder, store: store, extraAddresses: settings.statusAddresses, probeAddresses: settings.probeAddresses,
            group: group, othersGroup: othersGroup, logger: logger)
        let handed = settings.joined.map {
            HandedDocuments($0, documentPath: settings.documentPath, threads: threads, logger: logger)
        }
        let links = LinkKeeper(
            store: store, settings: settings, door: LinkDoor(responder, group: group), resolver: resolver, threads: carrying,
            inbox: handed?.inbox, logger: logger)
        let health = HealthSocket(store: store, group: group, logger: logger)
        let drain = Drain(store: store, duration: settings.drain, logger: logger)
        // They end one by one from the last to the first: tunnel and links stay until everything else is done.
        var configuration = ServiceGroupConfiguration(
            services: [QuietMemory(logger: logger), health, keeper, links, watcher, prober, servers, drain],
            gracefulShutdownSignals: [.sigterm, .sigint],
            logger: logger)
        if let handed { configuration.services.append(.init(service: handed)) }
        configuration.maximumGracefulShutdownDuration = settings.drain.duration + timeToEnd
        try await ServiceGroup(configuration: configuration).run()
        try await threads.shutdownGracefully()
        try await pageThreads.shutdownGracefully()
        try await nameThreads.shutdownGracefully()
        try await carrying.end()
        try await othersGroup.shutdownGracefully()
        try await group.shutdownGracefully()
    }
}
