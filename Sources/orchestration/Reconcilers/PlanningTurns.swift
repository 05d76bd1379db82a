import Synchronization

/// Plans are made one at a time, and tenants take turns: the largest plan takes a second of a core, and some at once would keep all else
/// from running that shares the threads, the Lease too.
final class PlanningTurns: Sendable {
    private struct State {
        var isTaken = false
        /// Who waits, by tenant; none is empty.
        var waiting: [String: [CheckedContinuation<Void, Never>]] = [:]
        /// The tenants in it, in the order of their turns.
        var order: [String] = []

        mutating func wait(_ tenant: String, _ continuation: CheckedContinuation<Void, Never>) {
            if waiting[tenant] == nil { order.append(tenant) }
            waiting[tenant, default: []].append(continuation)
        }

        mutating func next() -> CheckedContinuation<Void, Never>? {
            guard !order.isEmpty else { return nil }
            let tenant = order.removeFirst()
            guard var queue = waiting.removeValue(forKey: tenant) else { return nil }
            let first = queue.removeFirst()
            if !queue.isEmpty {
                waiting[tenant] = queue
                order.append(tenant)
            }
            return first
        }
    }

    private let state = Mutex(State())

    /// How many wait for their turn.
    var waitingCount: Int { state.withLock { $0.waiting.values.reduce(0) { $0 + $1.count } } }

    /// - Returns: what `work` did, alone; nil when the task was cancelled, and then it did nothing.
    func run<Result, Failure: Error>(
        for tenant: String, _ work: () throws(Failure) -> Result
    ) async throws(Failure) -> Result? {
        await enter(tenant)
        defer { leave() }
        return Task.isCancelled ? nil : try work()
    }

    func enter(_ tenant: String) async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isTaken { state.wait(tenant, continuation) }
                defer { state.isTaken = true }
                return !state.isTaken
            }
            if isFree { continuation.resume() }
        }
    }

    func leave() {
        let next = state.withLock { state in
            let next = state.next()
            state.isTaken = next != nil
            return next
        }
        next?.resume()
    }
}
