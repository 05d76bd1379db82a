public import LinkCarriers
public import LinkProtocol
public import LinkStreams
public import Logging
public import NIOCore
import NIOPosix
import NIOSSL
import NetworkTypes
public import Sodium
import Synchronization

/// The edge's end of all links: takes connections that carry the link's TLS, and listens for each uplink that is linked at the
/// tunnel ports of its loopback address.
public final class LinkRelay: Sendable {
    /// Connections that are no links yet, at a time.
    private static let mostStrangers = 1_024
    /// How long a connection may take to show who it is.
    private static let patience = TimeAmount.seconds(10)
    /// Links of one uplink at a time, and as many again that said goodbye and have streams still.
    private static let mostLinks = 32
    /// Between two tries to hand an uplink something that has not read the last.
    private static let handAgain = TimeAmount.milliseconds(200)

    struct Served {
        var links = UplinkLinks()
        /// Those that said goodbye, the oldest first.
        var ending: [UplinkLinks.Link] = []
        var listeners: [TunnelPorts.Place: any Channel] = [:]
        var binding: Set<TunnelPorts.Place> = []
        var refused: [TunnelPorts.Place: String] = [:]
        var isRetryDue = false
        var isReady = false
        var word: [UInt8] = []
    }

    struct State {
        var service: RelayService
        var served: [RelayUplink: Served] = [:]
        var doors: [any Channel] = []
        var socket: OpenSocket?
        var strangers = Strangers(most: LinkRelay.mostStrangers)
        var nextLink = 0
        /// Links that are up, those with a goodbye too, by number.
        var open: Set<Int> = []
        var phase = Phase.serving
        var handed: Handed?
        /// Uplinks' links that ask for what is handed over, by number, and the digest of what they have.
        var wanting: [Int: Wanting] = [:]
        /// Whether some uplink takes connections and answers, as the ports of those that do not were last told.
        var isAnyAnswering = false
    }

    enum Phase {
        case serving
        /// It takes no new links. The uplinks dial whoever has the doors, and connections are taken for each until it has.
        case leaving
        /// It takes neither links nor connections.
        case draining
    }

    /// What is handed to whoever asks.
    struct Handed {
        let digest: [UInt8]
        let messages: ByteBuffer
    }

    struct Wanting {
        let eventLoop: any EventLoop
        let connection: NIOLoopBound<LinkConnection>
        var digest: [UInt8]
        /// Whether it has yet to read the one before.
        var isWaiting = false
    }

    private let tls: PinnedTLS
    private let hello: ControlMessage.Hello
    private let limits: LinkLimits
    private let timing: LinkTiming
    /// Told when links came or went, or an uplink said something else of itself.
    let changed: @Sendable () -> Void
    let group: any EventLoopGroup
    let logger: Logger
    let state: Mutex<State>

    /// `build` and `instance` are what the uplinks hear of this process.
    public init(
        key: LinkPrivateKey, service: RelayService, build: String, instance: UInt64, limits: LinkLimits = LinkLimits(),
        timing: LinkTiming = LinkTiming(), group: any EventLoopGroup, logger: Logger, changed: @escaping @Sendable () -> Void = {}
    ) throws(LinkCarrierError) {
        self.changed = changed
        tls = try PinnedTLS(key: key)
        hello = .init(build: build, instance: instance)
        var limits = limits
        // The uplink opens its control stream, and no other.
        limits.peersStreams = 1
        self.limits = limits
        self.timing = timing
        self.group = group
        self.logger = logger
        state = Mutex(State(service: service))
    }

    /// How links come in at a door.
    public enum Door: Sendable {
        case tls
        /// At this path, which is a secret; what asks for another gets a 404.
        case webSocket(path: String)
    }

    /// Listens for links at `address`, where Envoy or an uplink connects. Returns the port, which the system chose for 0.
    /// - Parameter isBehindEnvoy: whether each connection begins with a PROXY header.
    public func listen(at address: SocketAddress, for door: Door = .tls, isBehindEnvoy: Bool = false) async throws -> Int? {
        let listener = try await bind(address, door, isBehindEnvoy)
        state.withLock { $0.doors.append(listener) }
        return listener.localAddress?.port
    }

    /// Listens at these doors alone, behind Envoy. Connections that came by others go on.
    public func setDoors(_ doors: [(address: SocketAddress, door: Door)]) async throws {
        var opened: [any Channel] = []
        do {
            for (address, door) in doors { opened.append(try await bind(address, door, true)) }
        } catch {
            for listener in opened { listener.close(promise: nil) }
            throw error
        }
        let closed = state.withLock { state in
            guard state.phase == .serving else { return opened }
            defer { state.doors = opened }
            return state.doors
        }
        for listener in closed { listener.close(promise: nil) }
    }

    func bind(_ address: SocketAddress, _ door: Door, _ isBehindEnvoy: Bool) async throws -> any Channel {
        let bootstrap = ServerBootstrap(group: group)
            .serverChannelOption(.backlog, value: 1024)
            .serverChannelOption(.socketOption(.so_reuseaddr), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture { try self.receive(channel, door, isBehindEnvoy) }
            }
        // So that a new process of the same user opens its doors before this one closes its own; a unix socket knows none of it.
        let isIP = address.pathname == nil
        return try await (isIP ? bootstrap.serverChannelOption(TunnelPorts.reusePort, value: 1) : bootstrap)
            .bind(to: address).get()
    }

    /// Sets who may link and what is served. Links of uplinks that are no longer named end at once, connections of ports that are no
    /// longer named go on.
    public func update(_ service: RelayService) {
        let (gone, left) = state.withLock { state in
            state.service = service
            let gone = state.served.filter { !service.uplinks.contains($0.key) }
            for uplink in gone.keys { state.served[uplink] = nil }
            state.isAnyAnswering = state.isAnswering
            return (gone.values.map { ($0.links.all + $0.ending, Array($0.listeners.values)) }, Array(state.served.keys))
        }
        for (links, listeners) in gone {
            for listener in listeners { listener.close(promise: nil) }
            for link in links { link.eventLoop.execute { link.connection.value.fail(LinkRevoked()) } }
        }
        for uplink in left { settle(uplink) }
    }

    public var status: [RelayStatus] {
        get async {
            let served = state.withLock(\.served)
            var statuses: [RelayStatus] = []
            for (uplink, one) in served {
                var links: [RelayStatus.Link] = []
                for link in one.links.all {
                    let told = try? await link.eventLoop.submit { RelayStatus.Link(link.connection.value, link.source) }.get()
                    if let told = told ?? nil { links.append(told) }
                }
                let refused = one.refused.map { "\($0.kind.rawValue) \($0.port): \($1)" }.sorted()
                statuses.append(
                    RelayStatus(uplink: uplink, links: links, isReady: one.isReady, word: one.word, refusedPorts: refused))
            }
            return statuses.sorted { $0.uplink.address < $1.uplink.address }
        }
    }

    /// Links that are up, those that end after their last connection too.
    public var openLinks: Int { state.withLock(\.open.count) }

    /// Makes place for another process, which listens at the doors: takes no new links, and has the uplinks dial. An uplink's connections are
    /// taken until it has a link to the other, or `handover` of the timing is over; those that are there go on.
    public func leave() {
        closeDoors(.leaving)
        for link in state.withLock({ $0.served.values.flatMap(\.links.all) }) {
            link.eventLoop.execute { link.connection.value.say(.leaving) }
        }
        group.next().scheduleTask(in: timing.handover) { self.drain() }
    }

    /// Takes no new links and no new connections; those that are there go on. Uplinks dial anew, to whoever listens then.
    public func drain() {
        closeDoors(.draining)
        for (uplink, one) in state.withLock(\.served) {
            for link in one.links.all { link.eventLoop.execute { link.connection.value.drain() } }
            settle(uplink)
        }
    }

    private func closeDoors(_ phase: Phase) {
        let doors = state.withLock { state in
            state.phase = phase
            defer { (state.doors, state.socket) = ([], nil) }
            return state.doors + [state.socket?.channel].compactMap(\.self)
        }
        for door in doors { door.close(promise: nil) }
    }

    /// From now on uplinks that ask for it are told this; nil for nothing.
    public func hand(_ bytes: [UInt8]?) {
        let handed = bytes.map {
            Handed(digest: SHA256.digest(of: $0).bytes, messages: ByteBuffer(bytes: HandedPart.messages(of: $0)))
        }
        let wanting = state.withLock { state in
            state.handed = handed
            return state.wanting
        }
        for (number, one) in wanting { one.eventLoop.execute { self.handOver(number) } }
    }

    /// On the link's event loop. An uplink that has not read the last one gets this later.
    private func handOver(_ number: Int) {
        guard let wanting = state.withLock({ $0.wanting[number] }), !wanting.isWaiting else { return }
        let link = wanting.connection.value
        guard link.unsaid == 0 else {
            state.withLock { $0.wanting[number]?.isWaiting = true }
            wanting.eventLoop.scheduleTask(in: Self.handAgain) { [self] in
                state.withLock { $0.wanting[number]?.isWaiting = false }
                handOver(number)
            }
            return
        }
        let messages = state.withLock { state -> ByteBuffer? in
            guard let handed = state.handed, wanting.digest != handed.digest else { return nil }
            state.wanting[number]?.digest = handed.digest
            return handed.messages
        }
        if let messages { link.say(framed: messages) }
    }

    // MARK: links

    /// For whoever accepts connections itself and leads them here by `enter`: counts one among the strangers, of which the oldest goes for
    /// one too many, and closes it if it does not show in time who it is. Returns what to call when it has.
    public func admit(_ channel: any Channel) -> @Sendable () -> Void {
        let (stranger, evicted) = state.withLock { $0.strangers.add(channel) }
        evicted?.close(promise: nil)
        let deadline = channel.eventLoop.scheduleTask(in: Self.patience) { channel.close(promise: nil) }
        let known = { @Sendable [self] in
            deadline.cancel()
            state.withLock { $0.strangers.remove(stranger) }
        }
        channel.closeFuture.whenComplete { _ in known() }
        return known
    }

    /// The bytes of an admitted channel are a link's TLS.
    /// - Parameters:
    ///   - source: where it comes from, in words.
    ///   - known: what `admit` returned.
    public func enter(_ channel: any Channel, from source: String?, _ known: @escaping @Sendable () -> Void) throws {
        try LinkSocket.setUp(channel)
        try shakeHands(channel, source, known)
    }

    private func receive(_ channel: any Channel, _ door: Door, _ isBehindEnvoy: Bool) throws {
        let known = admit(channel)
        try LinkSocket.setUp(channel)
        // sshd tells nobody who its client is.
        let source: String? = channel.localAddress?.pathname == nil ? nil : "sshd"
        guard isBehindEnvoy else { return try enter(channel, door, source, known) }
        let handler = ProxyHeaderHandler(
            ready: { [self] channel, source in try enter(channel, door, source, known) },
            failed: { [self] in
                logger.warning("a connection to the links' door began without a PROXY header, so it is not of Envoy; it was cut")
            })
        try channel.pipeline.syncOperations.addHandler(handler)
    }

    /// `source` is who connected to Envoy, or sshd.
    private func enter(
        _ channel: any Channel, _ door: Door, _ source: String?, _ known: @escaping @Sendable () -> Void
    ) throws {
        switch door {
        case .tls: try shakeHands(channel, source, known)
        case .webSocket(let path):
            try WebSocketDoor.add(to: channel, path: path) { [self] in try shakeHands($0, source, known) }
        }
    }

    private func shakeHands(_ channel: any Channel, _ source: String?, _ known: @escaping @Sendable () -> Void) throws {
        let handler = tls.server { [self] pin in uplink(of: pin) != nil }
        let handshake = LinkHandshake(
            handler, timeout: Self.patience,
            ready: { [self] channel, pin in
                try linked(channel, pin, source, known)
            },
            failed: { [self] error in
                logger.debug(
                    "a connection became no link", metadata: ["from": "\(source ?? "unknown")", "cause": "\(error.cause)"])
            })
        try channel.pipeline.syncOperations.addHandlers([handler, handshake])
    }

    /// A link of that uplink on an event loop that takes another stream, to be used there, and one that is preferred where there is any; nil
    /// where none does.
    public func link(
        of pin: SHA256Digest, on eventLoop: any EventLoop, preferring isPreferred: (LinkConnection) -> Bool = { _ in true }
    ) -> LinkConnection? {
        let served = state.withLock { state in state.served.first { $0.key.pin == pin }?.value }
        return served.flatMap { $0.isReady ? $0.links.best(on: eventLoop, preferring: isPreferred) : nil }
    }

    /// Whether streams may be opened on a link, and it answers. On its event loop.
    public func isUsable(_ link: LinkConnection, of pin: SHA256Digest) -> Bool {
        let served = state.withLock { state in state.served.first { $0.key.pin == pin }?.value }
        return link.mayOpen && served?.links.isAnswering(link) ?? false
    }

    private func uplink(of pin: SHA256Digest) -> RelayUplink? {
        state.withLock { $0.service.uplinks.first { $0.pin == pin } }
    }

    /// It is a stranger until it has said hello.
    private func linked(
        _ channel: any Channel, _ pin: SHA256Digest, _ source: String?, _ known: @escaping @Sendable () -> Void
    ) throws {
        // Asked again: a resumed session shows the callback no certificate, and the key may have been revoked meanwhile.
        guard let uplink = uplink(of: pin) else { throw LinkRevoked() }
        let number = state.withLock { state in
            state.nextLink += 1
            return state.nextLink
        }
        var events = LinkConnection.Events()
        events.established = { [self] link, hello in
            known()
            established(link, hello, number, uplink, channel.eventLoop, source)
        }
        events.message = { [self] link, message in
            let isOtherwise = state.withLock { state in
                switch message {
                case .ready(let isReady):
                    defer { state.served[uplink]?.isReady = isReady }
                    return state.served[uplink]?.isReady != isReady
                case .status(let word): state.served[uplink]?.word = word
                case .hello, .want, .part, .leaving: break
                }
                return false
            }
            if case .want(let digest) = message {
                let bound = NIOLoopBound(link, eventLoop: channel.eventLoop)
                state.withLock {
                    let isWaiting = $0.wanting[number]?.isWaiting ?? false
                    $0.wanting[number] = Wanting(
                        eventLoop: channel.eventLoop, connection: bound, digest: digest, isWaiting: isWaiting)
                }
                handOver(number)
            }
            if isOtherwise { settle(changed: uplink) }
        }
        events.goodbye = { [self] _ in saidGoodbye(number, uplink) }
        events.doubted = { [self] _, isDoubted in
            state.withLock { $0.served[uplink]?.links.doubt(number, isDoubted) }
            settle(changed: uplink)
        }
        events.closed = { [self] _, error in
            state.withLock { state in
                state.open.remove(number)
                state.wanting[number] = nil
            }
            ended(number, uplink)
            logger.info(
                "a link ended",
                metadata: [
                    "uplink": "\(uplink.address)", "from": "\(source ?? "unknown")",
                    "cause": "\(error.map { "\($0)" } ?? "done")",
                ])
        }
        let link = LinkConnection(.listener, hello: hello, limits: limits, timing: timing, events: events)
        try channel.pipeline.syncOperations.addHandler(link)
    }

    private func established(
        _ link: LinkConnection, _ hello: ControlMessage.Hello, _ number: Int, _ uplink: RelayUplink, _ loop: any EventLoop,
        _ source: String?
    ) {
        let known = UplinkLinks.Link(
            eventLoop: loop, connection: NIOLoopBound(link, eventLoop: loop), number: number, source: source)
        let isWelcome = state.withLock { state in
            guard state.service.uplinks.contains(uplink), state.phase == .serving else { return false }
            let served = state.served[uplink, default: Served()]
            guard served.links.all.count < Self.mostLinks else { return false }
            served.links.add(known)
            state.served[uplink] = served
            state.open.insert(number)
            return true
        }
        guard isWelcome else { return link.fail(LinkRevoked()) }
        logger.info(
            "a link is up",
            metadata: ["uplink": "\(uplink.address)", "from": "\(source ?? "unknown")", "build": "\(hello.build)"])
        settle(changed: uplink)
    }

    /// It takes no new streams, and ends with those that it has. For one too many the oldest ends at once.
    private func saidGoodbye(_ number: Int, _ uplink: RelayUplink) {
        let excess = state.withLock { state -> UplinkLinks.Link? in
            guard let link = state.served[uplink]?.links.remove(number) else { return nil }
            state.served[uplink]?.ending.append(link)
            return state.served[uplink].flatMap { $0.ending.count > Self.mostLinks ? $0.ending.first : nil }
        }
        if let excess { excess.eventLoop.execute { excess.connection.value.fail(LinkRevoked()) } }
        settle(changed: uplink)
    }

    private func ended(_ number: Int, _ uplink: RelayUplink) {
        state.withLock { state in
            state.served[uplink]?.links.remove(number)
            state.served[uplink]?.ending.removeAll { $0.number == number }
        }
        settle(changed: uplink)
    }
}

/// The uplink's key is not, or no longer, among those that may link.
struct LinkRevoked: Error, CustomStringConvertible {
    var description: String { "the uplink may not link, or has too many links" }
}
