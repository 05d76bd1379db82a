import Synchronization

/// Connections and UDP sessions that lead to hosts, all together.
final class HostBudget: Sendable {
    struct Full: Error, CustomStringConvertible {
        var description: String { "too many connections to hosts by name" }
    }

    private let most: Int
    private let taken = Mutex(0)

    init(most: Int) { self.most = most }

    /// - Returns: false where there is no room.
    func take() -> Bool {
        taken.withLock { taken in
            guard taken < most else { return false }
            taken += 1
            return true
        }
    }

    func give() { taken.withLock { $0 -= 1 } }
}
