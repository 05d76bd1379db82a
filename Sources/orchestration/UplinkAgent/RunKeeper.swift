import Logging
import NIOPosix
import NetworkTypes
import NodeDocument
import ServiceLifecycle
import Sodium

/// Does what `TunnelKeeper` decides, and nothing else; removes everything at the end.
struct RunKeeper: Service {
    let settings: UplinkSettings
    let store: UplinkStore
    let host: UplinkHost
    let hosts: HostRelay
    let threads: NIOThreadPool
    let events: KeeperEvents
    let logger: Logger

    func run() async throws {
        var isTouched = true
        // Of those that end nothing is kept: look-ups are many in a long life.
        await withDiscardingTaskGroup { tasks in
            tasks.addTask {
                while !Task.isCancelled {
                    events.send(.tick)
                    try? await Task.sleep(for: .seconds(1))
                }
            }
            var keeper = TunnelKeeper()
            events.send(.filesChanged)
            for await event in events.stream.cancelOnGracefulShutdown() {
                events.took(event)
                store.update { $0.lastBeat = Moment.steadyTime() }
                await perform(keeper.handle(.came(event), .now), &keeper, &tasks)
                await perform(keeper.due(.now), &keeper, &tasks)
            }
            tasks.cancelAll()
            isTouched = keeper.mayHaveTunnel
        }
        if isTouched { _ = await removeEverything() }
    }

    /// Does one after the other, and first what its answer asks for.
    private func perform(
        _ actions: [TunnelKeeper.Action], _ keeper: inout TunnelKeeper, _ tasks: inout DiscardingTaskGroup
    ) async {
        for action in actions {
            guard let answer = await perform(action, &tasks) else { continue }
            await perform(keeper.handle(answer, .now), &keeper, &tasks)
        }
    }

    /// - Returns: nil where there is nothing to decide on.
    private func perform(_ action: TunnelKeeper.Action, _ tasks: inout DiscardingTaskGroup) async -> TunnelKeeper.Event? {
        let (settings, host) = (settings, host)
        switch action {
        case .read(let known):
            return .read(await onThread { () throws(UplinkError) in try TunnelKeeper.Reading(settings, known: known) })
        case .look:
            let status = await onThread { () throws(UplinkError) in try host.status() }
            return .looked(
                status.map {
                    TunnelKeeper.Look(
                        status: $0, isAskedEachSecond: store.now.rhythm.isKnown, probeArrived: host.probeArrived())
                })
        case .settle(let wanted):
            let ports = await hosts.settle(HostRelay.Demand(address: wanted.part.address, hosts: wanted.part.content.hosts))
            return .settled(
                wanted,
                await onThread { () throws(UplinkError) in try host.settle(wanted.part.with(hostPorts: ports), wanted.endpoint) })
        case .lookUp(let name): tasks.addTask { await resolve(name) }
        case .renew(let relay):
            if case .failure(let error) = await onThread({ () throws(UplinkError) in try host.renew(relay) }) {
                return .notRenewed(error)
            }
        case .speak(let relay): host.speak(relay)
        case .probe(let relay, let bytes): host.probe(relay, bytes)
        case .widenTracking(let flows, let crowding):
            switch await onThread({ () throws(UplinkError) in try host.widenTracking(flows) }) {
            case .success: tell(.widened(flows, crowding))
            case .failure(let error): tell(.notWidened(crowding, error))
            }
        case .findObstacles:
            if case .success(let obstacles) = await onThread({ () throws(UplinkError) in try host.obstacles() }) {
                return .found(obstacles)
            }
        case .leave:
            if store.now.links.isUp, await removeEverything() { return .left }
        case .note(let note): tell(note)
        }
        return nil
    }

    private func tell(_ note: TunnelKeeper.Note) {
        store.take(note)
        logger.tell(note)
    }

    private func resolve(_ name: HostAddress) async {
        switch await onThread({ () throws(UplinkError) in try NameResolver.resolve(name) }) {
        case .success(let addresses): events.send(.resolved(name, addresses, nil))
        case .failure(let problem): events.send(.resolved(name, [], problem))
        }
    }

    /// - Returns: whether nothing is left.
    private func removeEverything() async -> Bool {
        let host = host
        await hosts.end()
        guard case .success(let (changes, failures)) = await onThread({ () throws(UplinkError) in host.remove() }) else {
            return false
        }
        tell(.removed(changes))
        for failure in failures { tell(.notRemoved(failure)) }
        return failures.isEmpty
    }

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

extension TunnelKeeper.Reading {
    /// Reads document and key. Blocks.
    init(_ settings: UplinkSettings, known: TunnelKeeper.Reading?) throws(UplinkError) {
        let bytes = try DocumentFile.read(path: settings.documentPath)
        let key = try DocumentFile.readKey(path: settings.keyPath)
        source = SHA256.digest(of: bytes)
        // Thousands of bindings take long to parse, and this is asked every half minute.
        if let known, source == known.source, key == known.part.privateKey {
            part = known.part
            return
        }
        let document = try DocumentFile.parse(bytes, path: settings.documentPath)
        part = try UplinkPart(of: document, ordinal: settings.ordinal, privateKey: key, keyPath: settings.keyPath)
    }
}
