import LinkCarriers
import LinkProtocol
import LinkSSH
import LinkStreams
import LinkUplink
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import ServiceLifecycle
import Synchronization

/// Keeps the links that the document demands. Other links, for another key or edge, come up before those that are there make place, and
/// where the tunnel is to carry alone they stay until it does.
struct LinkKeeper: Service {
    let store: UplinkStore
    let settings: UplinkSettings
    let door: LinkDoor
    let resolver: HostResolver
    let threads: CarryingThreads
    /// Who takes what the edge hands over, where this uplink joined.
    let inbox: LinkUplink.Inbox?
    let logger: Logger

    /// Between looks at the links, while all are up and while some are not.
    private static let pace = Duration.seconds(1)
    private static let quickPace = Duration.milliseconds(200)

    func run() async throws {
        var links = Links()
        var alarm: Scheduled<Void>?
        let instance = UInt64.random(in: 0...(.max))
        for await _ in store.links.changes.cancelOnGracefulShutdown() {
            let demand = store.links.demand
            if demand != (links.coming ?? links.serving)?.demand {
                if let demand {
                    links.come(start(demand, instance, on: threads.eventLoops))
                } else if store.now.isTunnelUp(.now) {
                    links.leave()
                }
            }
            links.settle()
            let look = await links.look()
            let isReady = store.update { condition in
                condition.links = look
                return condition.reasonAgainst(.now) == nil
            }
            links.serving?.uplink.setReady(isReady)
            links.coming?.uplink.setReady(isReady)
            alarm?.cancel()
            guard links.isBusy else { continue }
            let wait = links.isComplete ? Self.pace : Self.quickPace
            let table = store.links
            alarm = threads.eventLoops.next().scheduleTask(in: TimeAmount(wait)) { table.wake() }
        }
        await links.end()
    }

    private func start(_ demand: LinkDemand, _ instance: UInt64, on group: any EventLoopGroup) -> RunningLinks? {
        var configuration = LinkUplink.Configuration(
            key: demand.key, pin: demand.pin,
            carriers: demand.ways.map { $0.carrier.showing(settings.clientCertificate, believing: settings.roots) })
        configuration.proxy = settings.proxy
        configuration.exceptions = settings.proxyExceptions
        configuration.connections = demand.connections
        configuration.build = "uplink"
        configuration.instance = instance
        configuration.inbox = inbox
        configuration.ssh = SSHCarrier.opening
        let (table, door, resolver) = (store.links, door, resolver)
        do throws(LinkCarrierError) {
            let uplink = try LinkUplink(configuration, group: group, logger: logger) { header in
                switch table.destination(of: header) {
                case .target(let endpoint)?: StreamTarget(host: .ip(.v4(endpoint.address)), port: endpoint.port)
                case .host(let host)?:
                    StreamTarget(port: host.port) { loop in resolver.addresses(of: host, on: loop) }
                case .status?: StreamTarget(socket: { door.connect() })
                case nil: nil
                }
            }
            return RunningLinks(demand, uplink)
        } catch {
            logger.error("no links", metadata: ["reason": "\(error)"])
            return nil
        }
    }
}

/// The links of one demand, from their start to the end of the last.
private final class RunningLinks: Sendable {
    let demand: LinkDemand
    let uplink: LinkUplink
    private let task: Task<Void, Never>
    private let over = Atomic(false)

    init(_ demand: LinkDemand, _ uplink: LinkUplink) {
        self.demand = demand
        self.uplink = uplink
        task = Task { await uplink.run() }
    }

    var linksUp: Int { uplink.status.count { $0.index != nil } }
    var isComplete: Bool { linksUp == demand.connections }

    /// Ends them at once.
    func end() async {
        task.cancel()
        await task.value
    }

    /// Whether the last has ended.
    var isOver: Bool { over.load(ordering: .acquiring) }

    /// They take no new streams, and end with those that they have.
    func drain() {
        Task {
            // The edge may not listen yet where those live that follow.
            try? await Task.sleep(for: .seconds(1))
            uplink.drain()
            await task.value
            over.store(true, ordering: .releasing)
        }
    }
}

/// Those of now, those that shall follow, and those that only end.
private struct Links {
    var serving: RunningLinks?
    var coming: RunningLinks?
    private var retired: [RunningLinks] = []
    /// Of those that are no more.
    private var former = LinkUplink.Totals()

    var isBusy: Bool { serving != nil || coming != nil || !retired.isEmpty }
    var isComplete: Bool { coming == nil && serving?.isComplete ?? true }

    mutating func come(_ next: RunningLinks?) {
        if let coming { retire(coming) }
        coming = next
        if serving == nil { (serving, coming) = (next, nil) }
    }

    /// No links are wanted any more.
    mutating func leave() {
        for links in [serving, coming] { if let links { retire(links) } }
        (serving, coming) = (nil, nil)
    }

    /// Those that follow take over once one of them is up.
    mutating func settle() {
        guard let next = coming, next.linksUp > 0 else { return }
        if let serving { retire(serving) }
        (serving, coming) = (next, nil)
    }

    private mutating func retire(_ links: RunningLinks) {
        links.drain()
        retired.append(links)
    }

    mutating func look() async -> LinkCondition {
        var condition = LinkCondition()
        let over = retired.filter(\.isOver)
        retired.removeAll { one in over.contains { $0 === one } }
        for links in over { former.add(await links.uplink.totals) }
        var totals = former
        for links in retired + [serving, coming].compactMap(\.self) { totals.add(await links.uplink.totals) }
        for links in [serving, coming].compactMap(\.self) {
            for status in links.uplink.status {
                if let index = status.index { condition.up[links.demand.ways[index].kind, default: 0] += 1 }
                for (index, cause) in status.causes { condition.troubles[links.demand.ways[index].kind] = cause }
            }
        }
        condition.streams = totals.streams
        condition.receivedBytes = UInt64(clamping: totals.bytesIn)
        condition.sentBytes = UInt64(clamping: totals.bytesOut)
        condition.established = UInt64(clamping: totals.links)
        return condition
    }

    mutating func end() async {
        for links in retired + [serving, coming].compactMap(\.self) { await links.end() }
    }
}

extension LinkUplink.Totals {
    fileprivate mutating func add(_ other: Self) {
        streams += other.streams
        bytesIn += other.bytesIn
        bytesOut += other.bytesOut
        links += other.links
    }
}
