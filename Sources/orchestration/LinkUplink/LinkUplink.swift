public import LinkCarriers
public import LinkProtocol
public import LinkStreams
public import Logging
public import NIOCore
import NetworkTypes
public import Sodium
import Synchronization

/// The uplink's end of its links: dials the edge, keeps so many links up, and leads their streams to the targets.
public final class LinkUplink: Sendable {
    public struct Configuration: Sendable {
        public var key: LinkPrivateKey
        /// The edge's.
        public var pin: SHA256Digest
        /// In order of preference; at least one.
        public var carriers: [LinkCarrier]
        public var proxy: HTTPProxy?
        /// Links that are kept up at a time.
        public var connections = 2
        public var build = ""
        /// Chosen at the process's start.
        public var instance: UInt64 = 0
        public var limits = LinkLimits()
        public var timing = LinkTiming()

        public init(key: LinkPrivateKey, pin: SHA256Digest, carriers: [LinkCarrier]) {
            self.key = key
            self.pin = pin
            self.carriers = carriers
        }
    }

    /// What is known of one of the links.
    public struct LinkStatus: Sendable, Equatable {
        /// Nil while no link is up.
        public var carrier: String?
        /// Why the carriers tried last did not do; empty where the preferred one did.
        public var troubles: [String] = []
    }

    private struct State {
        var links: [Int: Link] = [:]
        var status: [LinkStatus]
        var isReady = true
        var word: [UInt8] = []
        var isDraining = false
    }

    private struct Link: Sendable {
        let eventLoop: any EventLoop
        let connection: NIOLoopBound<LinkConnection>
    }

    private let configuration: Configuration
    private let dialer: LinkDialer
    private let group: any EventLoopGroup
    private let logger: Logger
    private let target: @Sendable (StreamHeader) -> StreamTarget?
    private let state: Mutex<State>

    /// `target` says where a stream leads, nil for a port that leads nowhere; it is asked on an event loop and must not wait.
    public init(
        _ configuration: Configuration, group: any EventLoopGroup, logger: Logger,
        target: @escaping @Sendable (StreamHeader) -> StreamTarget?
    ) throws(LinkCarrierError) {
        self.configuration = configuration
        self.group = group
        self.logger = logger
        self.target = target
        dialer = try LinkDialer(key: configuration.key, pin: configuration.pin)
        state = Mutex(State(status: Array(repeating: LinkStatus(), count: configuration.connections)))
    }

    /// Keeps the links up until the task is cancelled; then the links end.
    public func run() async {
        await withTaskGroup(of: Void.self) { tasks in
            for slot in 0..<configuration.connections {
                let eventLoop = group.next()
                tasks.addTask { await self.keep(slot, on: eventLoop) }
            }
        }
    }

    public var status: [LinkStatus] { state.withLock(\.status) }

    /// Tells the edge whether new connections are taken.
    public func setReady(_ isReady: Bool) {
        state.withLock { $0.isReady = isReady }
        say(.ready(isReady))
    }

    /// Tells the edge something about this uplink: at most `ControlMessage.longestStatus` bytes, what is longer is not told.
    public func setStatus(_ word: [UInt8]) {
        state.withLock { $0.word = word }
        say(.status(word))
    }

    /// Takes no new connections; those that are there go on until the links end.
    public func drain() {
        let links = state.withLock { state in
            state.isDraining = true
            return state.links.values
        }
        for link in links { link.eventLoop.execute { link.connection.value.drain() } }
    }

    private func say(_ message: ControlMessage) {
        for link in state.withLock(\.links).values { link.eventLoop.execute { link.connection.value.say(message) } }
    }

    // MARK: one link after another

    private func keep(_ slot: Int, on eventLoop: any EventLoop) async {
        var plan = DialPlan(carriers: configuration.carriers.count, slot: slot)
        var troubles: [String] = []
        while !Task.isCancelled, !state.withLock(\.isDraining) {
            let attempt = plan.next(chance: Double.random(in: 0..<1))
            do {
                if attempt.delay > 0 { try await Task.sleep(for: .seconds(attempt.delay)) }
            } catch {
                return
            }
            if attempt.carrier == 0 { troubles = [] }
            let carrier = configuration.carriers[attempt.carrier]
            let clock = ContinuousClock.now
            do {
                let ended = try await dial(carrier, slot, on: eventLoop, troubles)
                logger.info("a link ended", metadata: ["carrier": "\(carrier)", "cause": "\(ended.map { "\($0)" } ?? "done")"])
                plan.ended(after: (ContinuousClock.now - clock) / .seconds(1))
            } catch {
                troubles.append("\(carrier): \(error)")
                logger.warning("no link", metadata: ["carrier": "\(carrier)", "cause": "\(error)"])
                plan.failed()
            }
            state.withLock { state in
                state.links[slot] = nil
                state.status[slot] = LinkStatus(carrier: nil, troubles: troubles)
            }
        }
    }

    /// Returns when the link that came about ended, with the reason where it did not end as it should.
    private func dial(
        _ carrier: LinkCarrier, _ slot: Int, on eventLoop: any EventLoop, _ troubles: [String]
    ) async throws -> (any Error)? {
        let ended = eventLoop.makePromise(of: (any Error)?.self)
        let established = eventLoop.makePromise(of: Void.self)
        let dialed = dialer.dial(carrier, through: configuration.proxy, on: eventLoop) { [self] channel in
            var events = LinkConnection.Events()
            events.established = { [self] link, _ in
                let known = Link(eventLoop: eventLoop, connection: NIOLoopBound(link, eventLoop: eventLoop))
                let (isReady, word, isDraining) = state.withLock { state in
                    state.links[slot] = known
                    state.status[slot] = LinkStatus(carrier: "\(carrier)", troubles: troubles)
                    return (state.isReady, state.word, state.isDraining)
                }
                link.say(.ready(isReady))
                if !word.isEmpty { link.say(.status(word)) }
                if isDraining { link.drain() }
                established.succeed()
                logger.info("a link is up", metadata: ["carrier": "\(carrier)"])
            }
            events.accept = { [target] _, header in target(header) }
            events.closed = { _, error in
                established.fail(LinkCarrierError(.hello, cause: "\(error ?? LinkClosed())"))
                ended.succeed(error)
            }
            let link = LinkConnection(
                .dialer, hello: .init(build: configuration.build, instance: configuration.instance), limits: configuration.limits,
                timing: configuration.timing, events: events)
            try channel.pipeline.syncOperations.addHandler(link)
        }
        dialed.whenFailure { error in
            established.fail(error)
            ended.succeed(error)
        }
        return try await withTaskCancellationHandler {
            try await established.futureResult.get()
            return try await ended.futureResult.get()
        } onCancel: {
            eventLoop.execute { [self] in
                let link = state.withLock { $0.links[slot] }
                link?.connection.value.fail(CancellationError())
            }
        }
    }
}
