import Glibc
import Logging
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import ServiceLifecycle

/// Tells which targets answer, so that a binding whose backend is down is named before its users find out.
///
/// TCP targets are connected to and left again without a byte. To a UDP service nothing harmless can be said, so it is only
/// asked whether there is a route.
struct TargetProber: Service {
    let store: UplinkStore
    let group: any EventLoopGroup
    let logger: Logger

    private static let timeout = TimeAmount.seconds(3)

    /// Milliseconds between two looks at the schedule at least, so that thousands of targets cost little.
    private static let pace: Int64 = 100

    func run() async throws {
        await withTaskGroup(of: Void.self) { tasks in
            var schedule = ProbeSchedule()
            var forwards: [Forward] = []
            var nextAlarm: Int64?
            let events = AsyncStream<Event>.makeStream()
            tasks.addTask {
                for await _ in store.probeWakeups.cancelOnGracefulShutdown() { events.continuation.yield(.wake) }
                events.continuation.finish()
            }
            for await event in events.stream {
                let now = steadyMilliseconds()
                switch event {
                case .result(let target, let state):
                    if schedule.finished(target) { note(state, of: target) }
                case .wake:
                    if let alarm = nextAlarm, alarm <= now { nextAlarm = nil }
                    let current = store.now.forwards
                    if current != forwards {
                        forwards = current
                        forget(schedule.set(Set(current.map(ProbeTarget.init)), now: now))
                    }
                    for target in schedule.take(now: now) {
                        tasks.addTask { events.continuation.yield(.result(target, await probe(target))) }
                    }
                    guard let wait = schedule.wait(now: now) else { break }
                    let alarm = now + max(wait, Self.pace)
                    if nextAlarm.map({ alarm < $0 }) ?? true {
                        nextAlarm = alarm
                        wake(in: alarm - now)
                    }
                }
            }
            tasks.cancelAll()
        }
    }

    private enum Event: Sendable {
        case wake
        case result(ProbeTarget, Reachability)
    }

    private func wake(in milliseconds: Int64) {
        let store = self.store
        group.next().scheduleTask(in: .milliseconds(milliseconds)) { store.wakeProber() }
    }

    private func note(_ state: Reachability, of target: ProbeTarget) {
        let before = store.update { $0.reachability.updateValue(state, forKey: target) }
        guard before != state else { return }
        let name = "\(target.transport) \(target.address):\(target.port)"
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

    func probe(_ target: ProbeTarget) async -> Reachability {
        do {
            let address = try SocketAddress(ipAddress: "\(target.address)", port: Int(target.port.number))
            switch target.transport {
            case .tcp:
                try await ClientBootstrap(group: group).connectTimeout(Self.timeout).connect(to: address).get().close(
                    promise: nil)
                return .answers
            case .udp:
                // Connecting a UDP socket sends nothing, but needs a route.
                try await DatagramBootstrap(group: group).connect(to: address).get().close(promise: nil)
                return .unknown
            }
        } catch let error as IOError {
            return .fails(String(cString: strerror(error.errnoCode)).lowercased())
        } catch ChannelError.connectTimeout {
            return .fails("no answer within \(Self.timeout.nanoseconds / 1_000_000_000) s")
        } catch {
            return .fails("\(error)")
        }
    }
}
