import Synchronization

/// Lets requests in until it is closed, and tells when the last has left: an event loop that is gone must not be asked for
/// anything.
final class Gate: Sendable {
    private struct State {
        var isClosed = false
        var inside = 0
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    /// - Returns: false when it is closed; otherwise `leave` must follow.
    func enter() -> Bool {
        state.withLock {
            if !$0.isClosed { $0.inside += 1 }
            return !$0.isClosed
        }
    }

    func leave() {
        let waiting = state.withLock { state -> [CheckedContinuation<Void, Never>] in
            state.inside -= 1
            guard state.inside == 0 else { return [] }
            defer { state.waiting = [] }
            return state.waiting
        }
        for continuation in waiting { continuation.resume() }
    }

    func close() { state.withLock { $0.isClosed = true } }

    /// Call it when it is closed.
    func emptied() async {
        await withCheckedContinuation { continuation in
            let isEmpty = state.withLock {
                if $0.inside > 0 { $0.waiting.append(continuation) }
                return $0.inside == 0
            }
            if isEmpty { continuation.resume() }
        }
    }
}
