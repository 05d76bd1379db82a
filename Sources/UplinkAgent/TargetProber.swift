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

    func run() async throws {
        await withTaskGroup(of: Void.self) { tasks in
            var schedule = ProbeSchedule()
            let results = AsyncStream<Event>.makeStream()
            tasks.addTask {
                for await _ in store.probeWakeups.cancelOnGracefulShutdown() { results.continuation.yield(.wake) }
                results.continuation.finish()
            }
            for await event in results.stream {
                if case .result(let target, let state) = event, schedule.finished(target) { note(state, of: target) }
                let now = steadyMilliseconds()
                forget(schedule.set(Set(store.now.forwards.map(ProbeTarget.init)), now: now))
                for target in schedule.take(now: now) {
                    tasks.addTask { results.continuation.yield(.result(target, await probe(target))) }
                }
                if let wait = schedule.wait(now: now), wait > 0 { alarm(in: wait) }
            }
            tasks.cancelAll()
        }
    }

    private enum Event: Sendable {
        case wake
        case result(ProbeTarget, Reachability)
    }

    /// Wakes the prober later; one alarm more than needed does no harm.
    private func alarm(in milliseconds: Int64) {
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
