import Dispatch
import Glibc
import Synchronization
import Syscalls

/// A process that this one started and waits for.
///
/// One that ends with its parent (`PR_SET_PDEATHSIG`) ends with the thread that started it (prctl(2)): here that is one which does nothing but wait
/// for it.
final class Child: Sendable {
    let process: Int32
    private let end = Mutex<Ending?>(nil)
    /// Between two looks.
    private static let pace = Duration.milliseconds(20)

    private init(_ process: Int32) { self.process = process }

    static func start(_ spawn: Spawn) async throws -> Child {
        try await withCheckedThrowingContinuation { continuation in
            DispatchQueue(label: "tidegate.child").async {
                let child: Child
                do throws(SystemFailure) {
                    child = Child(try spawn.start())
                } catch {
                    return continuation.resume(throwing: error)
                }
                continuation.resume(returning: child)
                let ending = (try? waitForEnd(of: child.process)) ?? Ending(status: 0)
                child.end.withLock { $0 = ending }
            }
        }
    }

    /// Nil while it runs.
    var ending: Ending? { end.withLock { $0 } }

    func signal(_ number: Int32) { if ending == nil { kill(process, number) } }

    /// Waits for its end. Where the task is cancelled it is told to end, and killed where it does not.
    /// - Returns: its exit code, as a shell says it.
    func code(patience: Duration) async -> Int32 {
        var limit: ContinuousClock.Instant?
        while ending == nil {
            if Task.isCancelled {
                if limit == nil { signal(SIGTERM) }
                limit = limit ?? .now + patience
                if let limit, limit < .now { signal(SIGKILL) }
            }
            // A sleep of a cancelled task is none.
            await Task.detached { try? await Task.sleep(for: Self.pace) }.value
        }
        guard let ending else { return EXIT_FAILURE }
        return ending.signal == 0 ? ending.exitCode : 128 + ending.signal
    }
}
