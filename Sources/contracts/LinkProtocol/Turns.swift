/// Who sends next: those with little to send come first, then all others one frame each, in a ring. So a small answer does not
/// wait behind transfers; and after `shortInRow` of the first kind one of the ring is served, so that nobody starves.
///
/// A stream stands in at most one place; who calls sees to it.
struct Turns: Sendable {
    private static let shortInRow = 8

    private var short = Queue()
    private var ring = Queue()
    private var servedShort = 0

    var isEmpty: Bool { short.isEmpty && ring.isEmpty }

    mutating func append(_ stream: StreamID, isShort: Bool) {
        if isShort { short.append(stream) } else { ring.append(stream) }
    }

    mutating func next() -> (stream: StreamID, isShort: Bool)? {
        if servedShort < Self.shortInRow || ring.isEmpty, let stream = short.popFirst() {
            servedShort += 1
            return (stream, true)
        }
        servedShort = 0
        return ring.popFirst().map { ($0, false) }
    }
}

/// First in, first out, in constant time spread over all.
struct Queue: Sendable {
    private var items: [StreamID] = []
    private var head = 0

    var isEmpty: Bool { head == items.count }

    mutating func append(_ stream: StreamID) { items.append(stream) }

    mutating func popFirst() -> StreamID? {
        guard head < items.count else { return nil }
        defer {
            head += 1
            if head == items.count {
                items.removeAll(keepingCapacity: head <= 1024)
                head = 0
            } else if head > 1024, head > items.count / 2 {
                items.removeFirst(head)
                head = 0
            }
        }
        return items[head]
    }
}
