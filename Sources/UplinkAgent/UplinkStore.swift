import NetworkTypes
import NodeDocument
import Synchronization

/// The one `UplinkCondition`, shared by the services; every change and every question is one short step under its lock.
final class UplinkStore: Sendable {
    private let condition: Mutex<UplinkCondition>
    /// The tunnel address in force, each time it changes: where the status is to be served.
    let addresses: AsyncStream<IPv4Address>
    private let addressSource: AsyncStream<IPv4Address>.Continuation
    /// Something about probes changed: look at the schedule again.
    let probeWakeups: AsyncStream<Void>
    private let probeSource: AsyncStream<Void>.Continuation

    init(ordinal: Int) {
        condition = Mutex(UplinkCondition(ordinal: ordinal))
        (addresses, addressSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        (probeWakeups, probeSource) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
    }

    var now: UplinkCondition { condition.withLock { $0 } }

    func update<Result: Sendable>(_ body: (inout UplinkCondition) -> sending Result) -> Result {
        condition.withLock { body(&$0) }
    }

    /// `part` is in force.
    func applied(_ part: UplinkPart) {
        let moved = condition.withLock { condition in
            let moved = condition.address != part.address
            condition.hash = part.hash
            condition.forwards = part.content.forwards
            condition.address = part.address
            condition.problem = nil
            condition.counters.applies += 1
            return moved
        }
        if moved { addressSource.yield(part.address) }
        wakeProber()
    }

    func wakeProber() { probeSource.yield() }
}
