import KubernetesAPI
import Synchronization

/// The two ends of a watch's answer.
final class Pipe: Sendable {
    private struct State {
        var pieces: [[UInt8]] = []
        var end: Result<Void, APIError>?
        var waiter: CheckedContinuation<Void, Never>?
    }

    private let state = Mutex(State())

    /// Nothing more is read.
    var isClosed: Bool { state.withLock { $0.end != nil } }

    func write(_ text: String) { change { $0.pieces.append(Array(text.utf8)) } }
    /// - Parameter error: nil ends it in good order.
    func end(_ error: APIError? = nil) { change { $0.end = $0.end ?? error.map { .failure($0) } ?? .success(()) } }

    var stream: APIStream { APIStream { () async throws(APIError) in try await self.read() } }

    private func change(_ body: (inout State) -> Void) {
        let waiter = state.withLock { state in
            body(&state)
            return state.waiter.take()
        }
        waiter?.resume()
    }

    private func read() async throws(APIError) -> [UInt8]? {
        while true {
            let next: Result<[UInt8]?, APIError>? = state.withLock { state in
                if !state.pieces.isEmpty { return .success(state.pieces.removeFirst()) }
                return state.end.map { $0.map { nil } }
            }
            if let next { return try next.get() }
            await withTaskCancellationHandler {
                await withCheckedContinuation { continuation in
                    let isReady = state.withLock { state in
                        if !state.pieces.isEmpty || state.end != nil { return true }
                        state.waiter = continuation
                        return false
                    }
                    if isReady { continuation.resume() }
                }
            } onCancel: {
                end(.cancelled)
            }
        }
    }
}
