import EdgeAPI
import Synchronization

/// Who writes to the VPSes, and the numbers that fence off who wrote before: one for each VPS.
///
/// The protocol:
/// - A document carries the owner, a number and the writer, which is one term of one process. The agent keeps the last it accepted,
///   and refuses a lower number, and the same number of another writer.
/// - A writer begins with the number of its term (the Lease's `leaseTransitions`), which usually is above all before it.
/// - A VPS that refuses it as out of date tells the number it holds. The writer then asks the API server whether it still leads. If so,
///   that VPS alone gets the number after the one it told, for as long as the term lasts. If not, it writes no more.
///
/// What follows:
/// - **A VPS's word moves nothing but its own number.** One that lies, or a stranger's sshd, makes this writer count higher there.
/// - **A former writer that wakes up stays out**, whatever its number: it cannot prove that it leads. One that proved it and then slept
///   holds at best the number of the writer after it, and is not that writer.
/// - **A Lease that was deleted, or stands at its highest count, locks nobody out**: who leads rises above every VPS again, one refused
///   apply each.
/// - The numbers are of 64 bits and begin below 2³², so that an honest VPS never holds the highest.
public struct WriterFence: Sendable {
    /// The uid or id of the installation.
    public let installation: String
    /// Unlike that of every other writer, of another term too.
    public let writer: String
    /// The number of the term; 0, which every VPS refuses, once it is over.
    private let epoch: @Sendable () -> UInt64
    /// Nil where it cannot be known who is the only writer.
    private let prove: (@Sendable () async throws(StoreError) -> Void)?
    private let raised = Raised()

    private final class Raised: Sendable {
        let epochs = Mutex<[ObjectName: UInt64]>([:])
    }

    /// - Parameter prove: throws when this is not the only writer any more; nil where that cannot be known.
    public init(
        installation: String, writer: String, epoch: @escaping @Sendable () -> UInt64,
        prove: (@Sendable () async throws(StoreError) -> Void)? = nil
    ) {
        self.installation = installation
        self.writer = writer
        self.epoch = epoch
        self.prove = prove
    }

    /// What the VPS of that EdgeNode is sent; 0 once the term is over.
    func epoch(for node: ObjectName) -> UInt64 {
        let own = epoch()
        return own == 0 ? 0 : max(own, raised.epochs.withLock { $0[node] ?? 0 })
    }

    /// Takes for one VPS the number after the one it told, if this is still the only writer.
    /// - Returns: whether the next try may succeed.
    /// - Throws: `StoreError` when another leads.
    func rise(above seen: UInt64, for node: ObjectName) async throws(StoreError) -> Bool {
        guard let prove, seen < .max else { return false }
        try await prove()
        raised.epochs.withLock { $0[node] = max($0[node] ?? 0, seen + 1) }
        return true
    }

    func forget(_ node: ObjectName) { raised.epochs.withLock { $0[node] = nil } }
}
