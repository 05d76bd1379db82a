import NIOCore

/// Connections whose other end has not shown who it is, at most so many: for one too many the oldest goes. A handshake takes some
/// round trips, so who means it is through before a flood has pushed it out.
struct Strangers {
    private let most: Int
    private var channels: [Int: any Channel] = [:]
    private var order = CircularBuffer<Int>()
    private var next = 0

    init(most: Int) { self.most = most }

    var count: Int { channels.count }

    /// Returns the number by which it is removed, and who must go.
    mutating func add(_ channel: any Channel) -> (number: Int, evicted: (any Channel)?) {
        let number = next
        next += 1
        channels[number] = channel
        order.append(number)
        while let first = order.first, channels[first] == nil { order.removeFirst() }
        guard channels.count > most, let oldest = order.popFirst() else { return (number, nil) }
        return (number, channels.removeValue(forKey: oldest))
    }

    /// It showed who it is, or is gone.
    mutating func remove(_ number: Int) { channels[number] = nil }
}
