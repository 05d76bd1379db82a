import Glibc
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import ServiceLifecycle
import Synchronization

/// Tells which targets answer, so that a binding whose backend is down is named before its users find out.
///
/// TCP targets are connected to and left again without a byte. To a UDP service nothing harmless can be said, so it is only
/// asked whether there is a route.
struct TargetProber: Service {
    let store: UplinkStore
    let group: any EventLoopGroup
    let dialer: HostDialer
    let logger: Logger

    private static let timeout = TimeAmount.seconds(3)

    /// Between two looks at the schedule at least: results come in thousands.
    private static let pace = Duration.milliseconds(200)

    func run() async throws {
        var schedule = ProbeSchedule()
        var forwards: [Forward] = []
        var nextAlarm: Duration?
        var nextTake = Duration.zero
        let results = Results()
        for await _ in store.probeWakeups.cancelOnGracefulShutdown() {
            let now = Moment.steadyTime()
            if let alarm = nextAlarm, alarm <= now { nextAlarm = nil }
            for (target, state) in results.take() where schedule.finished(target, fails: state.reachable == false, now: now) {
                note(state, of: target)
            }
            let condition = store.now
            if condition.forwards != forwards {
                forwards = condition.forwards
                forget(schedule.set(Set(forwards.flatMap(condition.probeTargets)), now: now))
                nextTake = now
            }
            if now >= nextTake {
                nextTake = now + Self.pace
                for target in schedule.take(now: now) {
                    probe(target).whenComplete { result in
                        results.add(target, Self.reachability(result))
                        store.wakeProber()
                    }
                }
            }
            // Each result moves it, also one that is no news: a target in flight has no next probe before its result.
            guard let wait = schedule.wait(now: now) else { continue }
            let alarm = max(now + wait, nextTake)
            if nextAlarm.map({ alarm < $0 }) ?? true {
                nextAlarm = alarm
                wake(in: alarm - now)
            }
        }
    }

    /// Lent to the closures that wait for connections.
    private final class Results: Sendable {
        private let list = Mutex<[(target: ProbeTarget, state: Reachability)]>([])

        func add(_ target: ProbeTarget, _ state: Reachability) { list.withLock { $0.append((target, state)) } }

        func take() -> [(target: ProbeTarget, state: Reachability)] {
            list.withLock { list in
                defer { list = [] }
                return list
            }
        }
    }

    private func wake(in time: Duration) {
        let store = self.store
        group.next().scheduleTask(in: TimeAmount(time)) { store.wakeProber() }
    }

    private func note(_ state: Reachability, of target: ProbeTarget) {
        // Nothing is written where nothing is new: a copy that somebody reads would be made a second time.
        let before = store.now.reachability[target]
        guard before != state else { return }
        store.update { $0.reachability[target] = state }
        let name = "\(target)"
        switch state.reachable {
        case true?: if before != nil { logger.info("target answers again", metadata: ["target": "\(name)"]) }
        case false?:
            logger.warning("target does not answer", metadata: ["target": "\(name)", "reason": "\(state.message ?? "")"])
        case nil: break
        }
    }

    private func forget(_ targets: [ProbeTarget]) {
        if targets.isEmpty { return }
        store.update { condition in for target in targets { condition.reachability[target] = nil } }
    }

    /// Connects, and leaves again at once; a failure is the answer. No task for it: what asks for millions in its life keeps nothing of
    /// any.
    func probe(_ target: ProbeTarget) -> EventLoopFuture<Reachability> {
        let loop = group.next()
        let endpoint: Endpoint
        switch target.place {
        case .endpoint(let known): endpoint = known
        case .host(let host): return probe(host, on: loop)
        }
        let address: SocketAddress
        do {
            address = try SocketAddress(ipAddress: "\(endpoint.address)", port: Int(endpoint.port.number))
        } catch {
            return loop.makeFailedFuture(error)
        }
        switch target.transport {
        case .tcp:
            // Without the option each probe would keep its local port from a server of ours for a minute (TIME_WAIT), and there are many.
            return ClientBootstrap(group: loop).channelOption(.socketOption(.so_reuseaddr), value: 1)
                .connectTimeout(Self.timeout).connect(to: address).flatMap { channel in
                    channel.close().map { .answers }.recover { _ in .answers }
                }
        case .udp:
            // Connecting a UDP socket sends nothing, but needs a route.
            return DatagramBootstrap(group: loop).connect(to: address).flatMap { channel in
                channel.close().map { .unknown }.recover { _ in .unknown }
            }
        }
    }

    /// Of a host of datagrams only the name can be asked for.
    private func probe(_ host: RelayedHost, on loop: any EventLoop) -> EventLoopFuture<Reachability> {
        if host.transport == .udp { return dialer.resolver.addresses(of: host, on: loop).map { _ in .unknown } }
        return dialer.connect(to: host, on: loop) {
            ClientBootstrap(group: loop).channelOption(.socketOption(.so_reuseaddr), value: 1)
        }.flatMap { channel in channel.close().map { .answers }.recover { _ in .answers } }
    }

    private static func reachability(_ result: Result<Reachability, any Error>) -> Reachability {
        switch result {
        case .success(let state): state
        case .failure(let error as IOError): .fails(String(cString: strerror(error.errnoCode)).lowercased())
        case .failure(ChannelError.connectTimeout): .fails("no answer within \(timeout.nanoseconds / 1_000_000_000) s")
        case .failure(let error): .fails("\(error)")
        }
    }
}
