import HostNetwork
import Logging
import NIOPosix
import NetworkTypes
import NodeDocument
import ServiceLifecycle
import Sodium
import WireGuardNetlink

/// Keeps the host what the document says: reads it anew when it changes, repairs what others changed, looks the relay's
/// name up when it is silent, and removes everything at the end.
struct TunnelKeeper: Service {
    let settings: UplinkSettings
    let store: UplinkStore
    let host: UplinkHost
    let threads: NIOThreadPool
    let events: KeeperEvents
    let logger: Logger

    /// Between looks for drift of every kind; the common kinds show in the status of each second.
    private static let checkEvery = Duration.seconds(30)
    /// Until the next attempt after a failure: doubled each time, up to `checkEvery`.
    private static let firstRetry = Duration.seconds(1)

    private struct Plan {
        var part: UplinkPart?
        /// Of the document's bytes that `part` was read from.
        var source: SHA256Digest?
        /// `part` is not in force yet.
        var isPending = false
        /// It was in force once: what is missing of it was taken by others.
        var wasApplied = false
        var endpoint = RelayEndpoint()
        var silence = RelaySilence()
        var tracking = TrackingRoom()
        var path = PathMTU(limit: 0)
        /// What of `path` is in force.
        var settledPath: Int?
        var isLookingUp = false
        var nextCheck = Duration.zero
        var nextAttempt = Duration.zero
        var retry = TunnelKeeper.firstRetry
        var obstacles: [UplinkHost.Obstacle] = []
    }

    func run() async throws {
        // Of those that end nothing is kept: look-ups are many in a long life.
        await withDiscardingTaskGroup { tasks in
            tasks.addTask {
                while !Task.isCancelled {
                    events.send(.tick)
                    try? await Task.sleep(for: .seconds(1))
                }
            }
            var plan = Plan()
            events.send(.filesChanged)
            for await event in events.stream.cancelOnGracefulShutdown() {
                events.took(event)
                store.update { $0.lastBeat = Moment.steadyTime() }
                await take(event, &plan)
                if let name = lookUp(&plan) { tasks.addTask { await resolve(name) } }
                await settleIfNeeded(&plan)
            }
            tasks.cancelAll()
        }
        await removeEverything()
    }

    private func take(_ event: KeeperEvents.Event, _ plan: inout Plan) async {
        switch event {
        case .filesChanged: await reload(&plan)
        case .tick: await readStatus(&plan)
        case .resolved(let host, let addresses, let problem):
            plan.isLookingUp = false
            store.update { $0.relayProblem = problem }
            guard host == plan.endpoint.host else { break }
            if let problem { logger.warning("the relay's name has no answer", metadata: ["reason": "\(problem)"]) }
            plan.endpoint.lookedUp(addresses, at: now, handshakeAge: handshakeAge)
            if !addresses.isEmpty { plan.nextCheck = now }
        }
    }

    // MARK: Reading

    private func reload(_ plan: inout Plan) async {
        let settings = self.settings
        let known = plan.part
        let source = plan.source
        let result = await onThread { () throws(UplinkError) in
            let bytes = try DocumentFile.read(path: settings.documentPath)
            let key = try DocumentFile.readKey(path: settings.keyPath)
            let digest = SHA256.digest(of: bytes)
            // Thousands of bindings take long to parse, and this is asked every half minute.
            if let known, digest == source, key == known.privateKey { return (part: known, source: digest) }
            let document = try DocumentFile.parse(bytes, path: settings.documentPath)
            let part = try UplinkPart(of: document, ordinal: settings.ordinal, privateKey: key, keyPath: settings.keyPath)
            return (part: part, source: digest)
        }
        switch result {
        case .failure(let error): fail(error)
        case .success(let (part, source)):
            plan.source = source
            if part == plan.part {
                if !plan.isPending { store.update { $0.problem = nil } }
                return
            }
            // Whatever else changes, the path is the same.
            if part.content.mtu != plan.part?.content.mtu || part.content.relay != plan.part?.content.relay {
                plan.path.begin(limit: part.content.mtu)
            }
            plan.part = part
            plan.isPending = true
            plan.wasApplied = false
            plan.nextAttempt = .zero
            plan.retry = Self.firstRetry
            plan.endpoint.aim(at: part.content.relay)
        }
    }

    private func readStatus(_ plan: inout Plan) async {
        guard let part = plan.part, !plan.isPending else { return }
        let host = self.host
        switch await onThread({ () throws(UplinkError) in try host.status() }) {
        case .failure:
            // The device is gone or broken: find out and repair now.
            plan.nextCheck = .zero
            store.update { $0.lastHandshake = nil }
        case .success(let status):
            let relay = status.device.peers.first { $0.publicKey == part.relayPublicKey }
            if status.isTouched || relay == nil { plan.nextCheck = .zero }
            await breakSilence(part, relay, &plan)
            lookAtPath(part, &plan)
            let found = plan.path.found
            store.update { condition in
                condition.wireGuardKind = status.kind
                condition.lastHandshake = relay?.lastHandshake
                condition.rhythm.count(receivedBytes: relay?.receivedBytes ?? 0, at: Moment.steadyTime())
                condition.receivedBytes = relay?.receivedBytes ?? 0
                condition.sentBytes = relay?.sentBytes ?? 0
                condition.pathMTU = found
                condition.trackedConnections = status.tracking.flows
                condition.trackedConnectionsLimit = status.tracking.limit
            }
            await keepRoom(status.tracking, &plan)
        }
    }

    private func breakSilence(_ part: UplinkPart, _ relay: WireGuardPeerStatus?, _ plan: inout Plan) async {
        let isAskedEachSecond = store.now.rhythm.isKnown
        switch plan.silence.next(receivedBytes: relay?.receivedBytes ?? 0, isAskedEachSecond: isAskedEachSecond, now: now) {
        case .wait: break
        case .speak: host.speak(part.content.relay.address)
        case .renew(let isFirst):
            guard let relay, let endpoint = relay.endpoint else { break }
            if isFirst {
                logger.notice("the relay is silent: beginning the session anew", metadata: ["endpoint": "\(endpoint)"])
            }
            let host = self.host
            if case .failure(let error) = await onThread({ () throws(UplinkError) in try host.renew(relay) }) {
                // The look for drift puts right what was left half-way.
                plan.nextCheck = .zero
                logger.error("cannot begin the session anew", metadata: ["reason": "\(error)"])
            }
        }
    }

    /// Says when conntrack is too small, and makes it larger where this process may: in a pod it is the node's.
    private func keepRoom(_ look: TrackingRoom.Look, _ plan: inout Plan) async {
        let words = plan.tracking.next(look, now: now)
        let before = store.update { condition in
            defer { condition.crowding = words }
            return condition.crowding
        }
        guard let words, let wanted = plan.tracking.wanted, before == nil else { return }
        let host = self.host
        switch await onThread({ () throws(UplinkError) in try host.widenTracking(wanted) }) {
        case .success:
            logger.notice("raised net.netfilter.nf_conntrack_max", metadata: ["limit": "\(wanted)", "reason": "\(words)"])
        case .failure(let error): logger.warning("\(words)", metadata: ["reason": "\(error)"])
        }
    }

    /// Goes on with a smaller MTU where the path drops what is longer: to stall would be the other choice.
    private func lookAtPath(_ part: UplinkPart, _ plan: inout Plan) {
        let before = plan.path.found
        let isConnected = handshakeAge.map { $0 <= UplinkCondition.freshFor } ?? false
        if let bytes = plan.path.next(now: now, isConnected: isConnected, arrived: host.probeArrived()) {
            host.probe(part.content.relay.address, bytes)
        }
        guard let found = plan.path.found, found != before else { return }
        logger.warning(
            "the path to the relay drops packets of the tunnel's size without a word; going on with smaller ones",
            metadata: ["mtu": "\(found)", "spec.tunnel.mtu": "\(part.content.mtu)"])
        plan.nextCheck = now
    }

    // MARK: The relay's name

    /// - Returns: a name to be looked up; an address needs none.
    private func lookUp(_ plan: inout Plan) -> HostAddress? {
        let silence = plan.silence.duration(now: now)
        guard !plan.isLookingUp, let host = plan.endpoint.lookUpNow(now, handshakeAge: handshakeAge, silence: silence) else {
            return nil
        }
        if case .ip(let address) = host {
            plan.endpoint.lookedUp([address], at: now, handshakeAge: handshakeAge)
            plan.nextCheck = now
            return nil
        }
        plan.isLookingUp = true
        return host
    }

    private func resolve(_ name: HostAddress) async {
        switch await onThread({ () throws(UplinkError) in try NameResolver.resolve(name) }) {
        case .success(let addresses): events.send(.resolved(name, addresses, nil))
        case .failure(let problem): events.send(.resolved(name, [], problem))
        }
    }

    // MARK: Changing

    private func settleIfNeeded(_ plan: inout Plan) async {
        guard let part = plan.part, now >= plan.nextAttempt, plan.isPending || now >= plan.nextCheck else { return }
        // A lost notice of the watcher costs no more than this long.
        if !plan.isPending { await reload(&plan) }
        let host = self.host
        let endpoint = plan.endpoint.endpointToSet(handshakeAge: handshakeAge)
        let found = plan.path.found
        let mtuIsNew = found != plan.settledPath
        let wanted = (plan.part ?? part).with(pathMTU: found)
        switch await onThread({ () throws(UplinkError) in try host.settle(wanted, endpoint) }) {
        case .failure(let error):
            plan.isPending = true
            plan.nextAttempt = now + plan.retry
            plan.retry = min(plan.retry * 2, Self.checkEvery)
            fail(error)
        case .success(let changes):
            plan.settledPath = found
            let words = HostChange.words(changes)
            // What this end wants otherwise than before is no repair: another MTU, or where the relay is dialed.
            let isDialing = endpoint != nil && changes.allSatisfy(\.isDialing)
            let isRepair = plan.wasApplied && !mtuIsNew && !isDialing && !changes.isEmpty
            plan.wasApplied = true
            if endpoint != nil {
                plan.endpoint.wasSet()
                plan.path.begin(limit: wanted.content.mtu)
            }
            plan.retry = Self.firstRetry
            plan.nextCheck = now + Self.checkEvery
            if plan.isPending {
                plan.isPending = false
                store.applied(wanted)
                logger.info("document applied", metadata: ["hash": "\(wanted.hash)", "changes": "\(words)"])
                for refused in wanted.refused.prefix(10) {
                    logger.warning(
                        "left out: no binding may lead there",
                        metadata: ["binding": "\(printable(refused.forward.binding))", "reason": "\(refused.reason)"])
                }
                await readStatus(&plan)
                await warnOfObstacles(&plan)
            } else if !changes.isEmpty, !isRepair {
                logger.info("changed", metadata: ["changes": "\(words)"])
            }
            if isRepair {
                store.update { condition in
                    condition.counters.repairs += UInt64(changes.count)
                    condition.lastRepair = changes
                }
                logger.notice("put right", metadata: ["changes": "\(words)"])
            }
        }
    }

    private func warnOfObstacles(_ plan: inout Plan) async {
        let host = self.host
        guard case .success(let obstacles) = await onThread({ () throws(UplinkError) in try host.obstacles() }) else { return }
        for obstacle in obstacles where !plan.obstacles.contains(obstacle) { logger.warning("\(obstacle)") }
        plan.obstacles = obstacles
    }

    private func fail(_ error: UplinkError) {
        let before = store.update { condition in
            defer { condition.problem = error }
            condition.counters.failures += 1
            return condition.problem
        }
        if before != error { logger.error("cannot apply", metadata: ["reason": "\(error)"]) }
    }

    private func removeEverything() async {
        let host = self.host
        let result = await onThread { () throws(UplinkError) in host.remove() }
        guard case .success(let (changes, failures)) = result else { return }
        logger.info("removed", metadata: ["changes": "\(HostChange.words(changes))"])
        for failure in failures { logger.error("cannot remove", metadata: ["reason": "\(failure)"]) }
    }

    // MARK: Helpers

    private var now: Duration { .seconds(Moment.steadyTime().wholeSeconds) }
    private var handshakeAge: Duration? { store.now.handshakeAge(now: Moment.now.wall) }

    /// Runs what blocks where it holds nobody up.
    private func onThread<Value: Sendable>(
        _ body: @escaping @Sendable () throws(UplinkError) -> Value
    ) async -> Result<Value, UplinkError> {
        do {
            return try await threads.runIfActive {
                do throws(UplinkError) { return .success(try body()) } catch { return .failure(error) }
            }
        } catch {
            return .failure(.host(cause: "the threads for blocking calls have ended"))
        }
    }
}
