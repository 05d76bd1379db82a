import Glibc
import Synchronization

/// What the tests have made and must undo. A connection's thread may hold its server a moment longer than the last test
/// lasts, so what no `deinit` has undone is undone when the process ends.
enum Leftovers {
    private static let pending = Mutex<[String: @Sendable () -> Void]>([:])
    private static let atEnd: Int32 = atexit {
        for name in pending.withLock({ $0.keys.sorted(by: >) }) { undo(name) }
    }

    /// - Parameter name: those that sort later are undone earlier at the end of the process.
    static func add(_ name: String, _ undo: @escaping @Sendable () -> Void) {
        _ = atEnd
        pending.withLock { $0[name] = undo }
    }

    /// Runs it once, whoever asks first. The others wait, so that the process does not end in the middle of it.
    static func undo(_ name: String) { turn.withLock { _ in pending.withLock { $0.removeValue(forKey: name) }?() } }

    private static let turn = Mutex(())
}
