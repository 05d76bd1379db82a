import NetworkTypes
import NodeDocument
import Synchronization

/// The one `UplinkCondition`, shared by the services; every change and every question is one short step under its lock.
final class UplinkStore: Sendable {
    private let state: Mutex<State>

    private struct State {
        var condition: UplinkCondition
        var told: UplinkCondition.Told?
        var number: UInt64
    }

    /// The tunnel address in force, each time it changes: where the status is to be served.
    let addresses: AsyncStream<IPv4Address>
    private let addressSource: AsyncStream<IPv4Address>.Continuation
    /// Something about probes changed: look at the schedule again.
    let probeWakeups: AsyncStream<Void>
    private let probeSource: AsyncStream<Void>.Continuation

    let links = LinkTable()

    init(ordinal: Int) {
        // Another one in each life of the process. 2^52: readers may hold it in a double.
        state = Mutex(State(condition: UplinkCondition(ordinal: ordinal), number: .random(in: 1...1 << 52)))
        (addresses, addressSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (probeWakeups, probeSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var now: UplinkCondition { state.withLock { $0.condition } }

    /// The condition, and a number that is another whenever a report would say something else; see `UplinkCondition.Told`.
    func look(_ now: Moment, after change: (inout UplinkCondition) -> Void = { _ in }) -> (
        condition: UplinkCondition, number: UInt64
    ) {
        state.withLock { state in
            change(&state.condition)
            let told = state.condition.told(now)
            if told != state.told {
                state.told = told
                state.number += 1
            }
            return (state.condition, state.number)
        }
    }

    func update<Result: Sendable>(_ body: (inout UplinkCondition) -> sending Result) -> Result {
        state.withLock { body(&$0.condition) }
    }

    func take(_ note: TunnelKeeper.Note) {
        let now = Moment.steadyTime()
        let former = update { condition in
            defer { condition.take(note, at: now) }
            return condition.address
        }
        if case .linking(let part) = note { links.take(part) }
        guard case .applied(let part, _) = note else { return }
        if part.content.hasWireGuard, former != part.address { addressSource.yield(part.address) }
        wakeProber()
    }

    func wakeProber() { probeSource.yield() }
}
