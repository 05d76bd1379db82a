import NIOCore

/// Visitors of one port that wait for a client's next connection, in order; each at most for a while.
struct VisitorQueue<Visitor> {
    /// More are turned away: each may have sent as much as `HeldConnection.receiveBuffer`.
    private static var most: Int { 256 }
    private static var patience: TimeAmount { .seconds(10) }

    private var visitors = CircularBuffer<(visitor: Visitor, deadline: NIODeadline)>()

    var all: [Visitor] { visitors.map(\.visitor) }

    /// - Returns: false where there are too many.
    mutating func add(_ visitor: Visitor) -> Bool {
        guard visitors.count < Self.most else { return false }
        visitors.append((visitor, .now() + Self.patience))
        return true
    }

    /// The one that has waited longest.
    mutating func next() -> Visitor? { visitors.popFirst()?.visitor }

    /// Takes out whose time is over.
    mutating func expired() -> [Visitor] {
        var expired: [Visitor] = []
        while let first = visitors.first, first.deadline < .now() {
            expired.append(first.visitor)
            visitors.removeFirst()
        }
        return expired
    }
}
