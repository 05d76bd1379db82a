import Foundation
import Syscalls

/// A program of a test that goes on beside it; its output is the test's own.
public final class RunningProgram: @unchecked Sendable {
    public let processIdentifier: Int32
    private let changed = NSCondition()
    private var ending: Ending?

    /// - Parameters:
    ///   - command: found by `PATH`, and its arguments.
    ///   - more: added to this process's environment.
    public init(_ command: [String], environment more: [String: String] = [:]) throws {
        var spawn = Spawn(command[0], Array(command.dropFirst()), environment: environment(more))
        spawn.searchesPath = true
        processIdentifier = try spawn.start()
        // Whoever starts one and forgets it leaves no zombie.
        Thread.detachNewThread { [self] in
            let ending = try? waitForEnd(of: processIdentifier)
            changed.withLock {
                self.ending = ending ?? Ending(status: 0)
                changed.broadcast()
            }
        }
    }

    public var isRunning: Bool { changed.withLock { ending == nil } }

    /// The exit code, or the signal that ended it; nil while it runs.
    public var terminationStatus: Int32? {
        changed.withLock { ending.map { $0.signal == 0 ? $0.exitCode : $0.signal } }
    }

    public func terminate() { if isRunning { kill(processIdentifier, SIGTERM) } }

    public func waitUntilExit() { changed.withLock { while ending == nil { changed.wait() } } }
}
