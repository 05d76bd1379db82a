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
        /// To whom the proxy is not asked.
        public var exceptions = ProxyExceptions()
        /// Links that are kept up at a time.
        public var connections = 2
        public var build = ""
        /// Chosen at the process's start.
        public var instance: UInt64 = 0
        public var limits = LinkLimits()
        public var timing = LinkTiming()
        /// Where the edge is asked for what it hands over; nil asks for nothing.
        public var inbox: Inbox?
        /// For carriers by sshd.
        public var ssh: SSHOpening?

        public init(key: LinkPrivateKey, pin: SHA256Digest, carriers: [LinkCarrier]) {
            self.key = key
            self.pin = pin
            self.carriers = carriers
        }
    }

    /// Who takes what the edge hands over. Both are called on event loops and must not wait.
    public struct Inbox: Sendable {
        /// Bytes at a time.
        public var most: Int
        /// The SHA-256 of what was taken last; empty before there is any.
        public var digest: @Sendable () -> [UInt8]
        public var take: @Sendable ([UInt8]) -> Void

        public init(most: Int, digest: @escaping @Sendable () -> [UInt8], take: @escaping @Sendable ([UInt8]) -> Void) {
            self.most = most
            self.digest = digest
            self.take = take
        }
    }

    /// What is known of one of the links that are kept up.
    public struct LinkStatus: Sendable, Equatable {
        /// Over which carrier it is up, an index of the configuration's; nil while none is.
        public var index: Int?
        /// The same in words.
        public var carrier: String?
        /// By carrier, why those tried last did not do.
        public var causes: [Int: String] = [:]

        /// The causes in words; empty where the preferred carrier did.
        public var troubles: [String] { causes.sorted { $0.key < $1.key }.map(\.value) }
    }

    /// What all links have carried, and carry.
    public struct Totals: Sendable, Equatable {
        /// Connections and UDP sessions that are open.
        public var streams = 0
        public var bytesIn = 0
        public var bytesOut = 0
        /// Links that came up.
        public var links = 0

        public init() {}
    }

    private struct State {
        /// By number; those too that make place for another and have streams still.
        var links: [Int: Link] = [:]
        var nextLink = 0
        var status: [LinkStatus]
        /// By carrier.
        var lifetimes: [LinkLifetimes]
        /// Carriers whose last link fell silent, or did not come about: the next one is tried with small packets, for a path may drop large
        /// ones and tell nobody. Where that is no better either, the one after it as at first.
        var narrow: Set<Int> = []
        /// By carrier, logins that were refused.
        var refusals: [Int: LoginRefusal] = [:]
        /// Of slots that wait for the end of a link, or for the time to renew it, by the link's number.
        var waiting: [Int: EventLoopPromise<Waking>] = [:]
        /// Of links that are gone, and how many came up.
        var totals = Totals()
        var isReady = true
        var word: [UInt8] = []
        var isDraining = false
        /// The link by which the edge is asked for what it hands over.
        var asking: Int?
        /// Links, by number, whose edge makes place for another process.
        var leaving: Set<Int> = []
        /// Links, by number, on which nothing was heard for a while.
        var silent: Set<Int> = []
    }

    /// A key that a server does not take. Servers count refusals, and shut out the address of who has too many, where others may be as well.
    private struct LoginRefusal {
        /// Until the next try: the key may just be on its way there; then so that no ten minutes have five refusals (fail2ban's default).
        static let waits: [Duration] = [.seconds(5), .seconds(60), .seconds(300)]

        var count = 0
        var over = ContinuousClock.now
        var cause = ""

        mutating func happened(_ cause: String) {
            over = .now + Self.waits[min(count, Self.waits.count - 1)]
            count += 1
            self.cause = cause
        }
    }

    private enum Waking: Sendable {
        case came, timePassed
        /// What is known of lifetimes is another, or the edge leaves.
        case ruleChanged
    }

    private struct Link: Sendable {
        let number: Int
        let carrier: Int
        let since: ContinuousClock.Instant
        let eventLoop: any EventLoop
        let connection: NIOLoopBound<LinkConnection>
        /// The edge opens no more streams on it: it said goodbye, or the link is over.
        let left: EventLoopFuture<Void>
        let ended: EventLoopFuture<Void>

        var age: Double { (ContinuousClock.now - since) / .seconds(1) }

        func drain() { eventLoop.execute { connection.value.drain() } }
    }

    /// From a link's coming up to the goodbye on the one that it follows: the edge listens where the new one lives only once it knows it.
    private static let overlap = TimeAmount.seconds(1)
    /// From the doubt about a link to the search for another: a way that is only slow answers meanwhile.
    private static let doubted = TimeAmount.seconds(1)
    /// Seconds of age below which a link that falls silent says something about the path.
    private static let young = 20.0
    /// For the connection of a link that is to take a silent one's place: the kernel asks again each second at first, and more and more seldom.
    private static let hasty = TimeAmount.milliseconds(2500)

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
        dialer = try LinkDialer(key: configuration.key, pin: configuration.pin, ssh: configuration.ssh)
        state = Mutex(
            State(
                status: Array(repeating: LinkStatus(), count: configuration.connections),
                lifetimes: Array(repeating: LinkLifetimes(), count: configuration.carriers.count)))
    }

    /// Keeps the links up until the task is cancelled, which ends them; or, once they are drained, until the last has ended by itself.
    public func run() async {
        await withTaskGroup(of: Void.self) { tasks in
            for slot in 0..<configuration.connections {
                let eventLoop = group.next()
                tasks.addTask { await self.keep(slot, on: eventLoop) }
            }
        }
        // Those that made place end with their streams.
        for link in state.withLock({ Array($0.links.values) }) { while await wake(by: link.ended, of: link) != .came {} }
    }

    public var status: [LinkStatus] { state.withLock(\.status) }

    public var totals: Totals {
        get async {
            var (totals, links) = state.withLock { ($0.totals, Array($0.links.values)) }
            for link in links {
                let told = try? await link.eventLoop.submit {
                    let link = link.connection.value
                    return (link.openStreams, link.bytesIn, link.bytesOut)
                }.get()
                guard let (streams, bytesIn, bytesOut) = told else { continue }
                totals.streams += streams
                totals.bytesIn += bytesIn
                totals.bytesOut += bytesOut
            }
            return totals
        }
    }

    /// Tells the edge whether new connections are taken.
    public func setReady(_ isReady: Bool) {
        let isNew = state.withLock { state in
            defer { state.isReady = isReady }
            return state.isReady != isReady
        }
        if isNew { say(.ready(isReady)) }
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
            return Array(state.links.values)
        }
        for link in links { link.drain() }
    }

    private func say(_ message: ControlMessage) {
        for link in state.withLock({ Array($0.links.values) }) {
            link.eventLoop.execute { link.connection.value.say(message) }
        }
    }

    /// Asks by one link, and by another when that has ended.
    private func askForMore() {
        guard let inbox = configuration.inbox else { return }
        let chosen = state.withLock { state -> Link? in
            guard state.asking == nil, let link = state.links.values.max(by: { $0.number < $1.number }) else { return nil }
            state.asking = link.number
            return link
        }
        guard let chosen else { return }
        chosen.eventLoop.execute { chosen.connection.value.say(.want(inbox.digest())) }
    }

    // MARK: one link after another

    /// Seconds of a steady clock.
    private static var now: Double { Double(NIODeadline.now().uptimeNanoseconds) / 1e9 }

    private func keep(_ slot: Int, on eventLoop: any EventLoop) async {
        var plan = DialPlan(carriers: configuration.carriers.count, slot: slot, slots: configuration.connections)
        var causes: [Int: String] = [:]
        var current: Link?
        var moves = 0
        while !Task.isCancelled {
            guard let link = current else {
                if state.withLock(\.isDraining) { return }
                let attempt = plan.next(chance: Double.random(in: 0..<1))
                if attempt.delay > 0, (try? await Task.sleep(for: .seconds(attempt.delay))) == nil { return }
                current = await dial(attempt.carrier, on: eventLoop, &causes)
                if current == nil { plan.failed() } else { plan.established(over: attempt.carrier, now: Self.now) }
                tell(slot, current, causes)
                continue
            }
            let (lifetime, isLeaving, isSilent, isDraining) = state.withLock {
                (
                    $0.lifetimes[link.carrier].steady, $0.leaving.contains(link.number), $0.silent.contains(link.number),
                    $0.isDraining
                )
            }
            let renewal =
                isDraining
                ? nil
                : isLeaving || isSilent
                    ? plan.move(
                        from: link.carrier, tries: isSilent ? min(moves, 1) : moves, chance: Double.random(in: 0..<1))
                    : plan.renewal(lifetime: lifetime, age: link.age, now: Self.now)
            switch await wake(by: link.left, of: link, within: renewal?.delay) {
            case .came:
                if Task.isCancelled { return }
                plan.ended(after: link.age)
                (current, moves) = (nil, 0)
                tell(slot, nil, causes)
            case .ruleChanged: break
            case .timePassed:
                guard let renewal, !state.withLock(\.isDraining) else { continue }
                // Two in a row that fell silent: the path may drop large packets.
                if isSilent, link.age < Self.young { state.withLock { _ = $0.narrow.insert(link.carrier) } }
                guard let next = await firstUp(of: renewal.carriers, on: eventLoop, isHasty: isSilent, &causes) else {
                    if isLeaving || isSilent { moves += 1 } else { plan.returnFailed(now: Self.now) }
                    tell(slot, link, causes)
                    continue
                }
                // The new one first: whoever opens streams always finds a link.
                (current, moves) = (next, 0)
                if next.carrier < link.carrier || renewal.carriers.first == next.carrier {
                    plan.established(over: next.carrier, now: Self.now)
                } else {
                    plan.returnFailed(now: Self.now)
                }
                tell(slot, next, causes)
                logger.info(
                    "a link makes place for another",
                    metadata: [
                        "former": "\(configuration.carriers[link.carrier])", "carrier": "\(configuration.carriers[next.carrier])",
                    ])
                link.eventLoop.scheduleTask(in: Self.overlap) { link.connection.value.drain() }
            }
        }
    }

    private func tell(_ slot: Int, _ link: Link?, _ causes: [Int: String]) {
        state.withLock { state in
            state.status[slot] = LinkStatus(
                index: link?.carrier, carrier: link.map { "\(configuration.carriers[$0.carrier])" },
                // What is behind the carrier in use is of no interest.
                causes: link.map { link in causes.filter { $0.key < link.carrier } } ?? causes)
        }
    }

    private func firstUp(
        of carriers: [Int], on eventLoop: any EventLoop, isHasty: Bool, _ causes: inout [Int: String]
    ) async -> Link? {
        for carrier in carriers where !Task.isCancelled {
            if let link = await dial(carrier, on: eventLoop, isHasty: isHasty, &causes) { return link }
        }
        return nil
    }

    /// Waits for that, or for so many seconds, or for another rule. Where the task is cancelled the link ends.
    private func wake(by event: EventLoopFuture<Void>, of link: Link, within seconds: Double? = nil) async -> Waking {
        let promise = link.eventLoop.makePromise(of: Waking.self)
        event.whenComplete { _ in promise.succeed(.came) }
        state.withLock { $0.waiting[link.number] = promise }
        let alarm = seconds.map { seconds in
            link.eventLoop.scheduleTask(in: .nanoseconds(Int64(seconds * 1e9))) { promise.succeed(.timePassed) }
        }
        defer {
            alarm?.cancel()
            state.withLock { $0.waiting[link.number] = nil }
        }
        return await withTaskCancellationHandler {
            (try? await promise.futureResult.get()) ?? .came
        } onCancel: {
            link.eventLoop.execute { link.connection.value.fail(CancellationError()) }
        }
    }

    private func dial(
        _ index: Int, on eventLoop: any EventLoop, isHasty: Bool = false, _ causes: inout [Int: String]
    ) async -> Link? {
        let carrier = configuration.carriers[index]
        if let refusal = state.withLock({ $0.refusals[index] }), refusal.over > .now {
            causes[index] = refusal.cause
            return nil
        }
        do {
            let link = try await dial(index, on: eventLoop, isHasty: isHasty)
            causes[index] = nil
            state.withLock { $0.refusals[index] = nil }
            logger.info("a link is up", metadata: ["carrier": "\(carrier)"])
            return link
        } catch {
            if Task.isCancelled { return nil }
            // Where not even a connection comes about it is not for the size of packets.
            let isUnreached = if case .connecting? = (error as? LinkCarrierError)?.step { true } else { false }
            if !isUnreached { state.withLock { if $0.narrow.remove(index) == nil { $0.narrow.insert(index) } } }
            let cause = "\(carrier): \(error)"
            if (error as? LinkCarrierError)?.isRefusedLogin == true {
                state.withLock { $0.refusals[index, default: LoginRefusal()].happened(cause) }
            }
            if causes[index] != cause {
                logger.warning("no link", metadata: ["carrier": "\(carrier)", "cause": "\(error)"])
            }
            causes[index] = cause
            return nil
        }
    }

    /// Returns once the link is up.
    private func dial(_ index: Int, on eventLoop: any EventLoop, isHasty: Bool) async throws -> Link {
        let carrier = configuration.carriers[index]
        let (left, ended) = (eventLoop.makePromise(of: Void.self), eventLoop.makePromise(of: Void.self))
        let established = eventLoop.makePromise(of: Link.self)
        let channelPlace = NIOLoopBoundBox<(any Channel)?>.makeEmptyBox(valueType: (any Channel).self, eventLoop: eventLoop)
        let place = carrier.address
        let proxy = configuration.exceptions.cover(place.host, place.port) ? nil : configuration.proxy
        let isNarrow = state.withLock { $0.narrow.contains(index) }
        let dialed = dialer.dial(
            carrier, through: proxy, isNarrow: isNarrow, connectingWithin: isHasty ? Self.hasty : nil, on: eventLoop
        ) { [self] channel in
            channelPlace.value = channel
            let link = LinkConnection(
                .dialer, hello: .init(build: configuration.build, instance: configuration.instance), limits: configuration.limits,
                timing: configuration.timing, events: events(index, eventLoop, established, left, ended))
            try channel.pipeline.syncOperations.addHandler(link)
        }
        dialed.whenFailure { error in
            established.fail(error)
            left.succeed()
            ended.succeed()
        }
        return try await withTaskCancellationHandler {
            try await established.futureResult.get()
        } onCancel: {
            established.fail(CancellationError())
            // Where it came about nevertheless, it ends at once.
            eventLoop.execute { channelPlace.value?.close(promise: nil) }
        }
    }

    /// Has a link's slot look for another.
    private func replace(_ number: Int, for reason: WritableKeyPath<State, Set<Int>>) {
        let waiting = state.withLock { state -> EventLoopPromise<Waking>? in
            guard state.links[number] != nil else { return nil }
            state[keyPath: reason].insert(number)
            // The edge may say more by another one first.
            if state.asking == number { state.asking = nil }
            return state.waiting[number]
        }
        waiting?.succeed(.ruleChanged)
    }

    private func events(
        _ index: Int, _ eventLoop: any EventLoop, _ established: EventLoopPromise<Link>, _ left: EventLoopPromise<Void>,
        _ ended: EventLoopPromise<Void>
    ) -> LinkConnection.Events {
        let carrier = configuration.carriers[index]
        var events = LinkConnection.Events()
        var number: Int?
        let since = ContinuousClock.now
        events.established = { [self] link, _ in
            let (known, isReady, word, isDraining) = state.withLock { state in
                let known = Link(
                    number: state.nextLink, carrier: index, since: since, eventLoop: eventLoop,
                    connection: NIOLoopBound(link, eventLoop: eventLoop), left: left.futureResult, ended: ended.futureResult)
                state.nextLink += 1
                state.links[known.number] = known
                state.totals.links += 1
                return (known, state.isReady, state.word, state.isDraining)
            }
            number = known.number
            link.say(.ready(isReady))
            if !word.isEmpty { link.say(.status(word)) }
            if isDraining { link.drain() }
            askForMore()
            established.succeed(known)
        }
        let inbox = configuration.inbox
        var assembly = HandedAssembly(most: inbox?.most ?? 0)
        events.message = { [self] link, message in
            switch message {
            case .part(let part):
                guard let inbox else { return }
                do throws(LinkProtocolError) {
                    if let whole = try assembly.take(part) { inbox.take(whole) }
                } catch {
                    link.fail(error)
                }
            case .leaving: if let number { replace(number, for: \.leaving) }
            case .hello, .ready, .status, .want: break
            }
        }
        events.accept = { [target] _, header in target(header) }
        events.goodbye = { _ in left.succeed() }
        var alarm: Scheduled<Void>?
        events.doubted = { [self] link, isDoubted in
            alarm?.cancel()
            guard let number else { return }
            if !isDoubted {
                state.withLock { _ = $0.silent.remove(number) }
                return
            }
            alarm = eventLoop.scheduleTask(in: Self.doubted) { self.replace(number, for: \.silent) }
        }
        events.closed = { [self] link, error in
            let age = (ContinuousClock.now - since) / .seconds(1)
            // What is dropped without a word was so before it was noticed.
            let silence = (error as? LinkClosed)?.silence.map { Double($0.nanoseconds) / 1e9 } ?? 0
            let waiting = state.withLock { state -> [EventLoopPromise<Waking>] in
                guard let number else { return [] }
                state.links[number] = nil
                // Who waits for this one hears of its end.
                state.waiting[number] = nil
                state.leaving.remove(number)
                state.silent.remove(number)
                if state.asking == number { state.asking = nil }
                state.totals.bytesIn += link.bytesIn
                state.totals.bytesOut += link.bytesOut
                if silence > 0 { state.narrow.insert(index) }
                let former = state.lifetimes[index].steady
                state.lifetimes[index].outlived(age)
                if let error, !(error is CancellationError) {
                    state.lifetimes[index].cut(at: age - silence, now: Self.now)
                }
                return state.lifetimes[index].steady == former ? [] : Array(state.waiting.values)
            }
            for promise in waiting { promise.succeed(.ruleChanged) }
            if number != nil {
                askForMore()
                logger.info(
                    "a link ended",
                    metadata: [
                        "carrier": "\(carrier)", "cause": "\(error.map { "\($0)" } ?? "done")", "seconds": "\(Int(age))",
                    ])
            }
            established.fail(LinkCarrierError(.hello, cause: "\(error ?? LinkClosed())"))
            left.succeed()
            ended.succeed()
        }
        return events
    }
}
