/// Cuts the bytes of a watch into its events, one JSON text a line, wherever the pieces were cut.
public struct WatchFramer: Sendable {
    /// Bytes of one event: etcd keeps 1.5 MiB an object, and its JSON with managedFields may be a few times that.
    public static let eventLimit = 8 << 20

    private let limit: Int
    private var tail: [UInt8] = []

    /// - Parameter limit: bytes of one event at most.
    public init(limit: Int = WatchFramer.eventLimit) { self.limit = limit }

    /// - Returns: the events that `piece` completes, in order, without their line ends; empty lines are passed over.
    /// - Throws: `.malformed` for an event beyond the limit; nothing more can be read then.
    public mutating func feed(_ piece: [UInt8]) throws(APIError) -> [[UInt8]] {
        var lines: [[UInt8]] = []
        var rest = piece[...]
        while let end = rest.firstIndex(of: 0x0A) {
            try append(rest[..<end])
            if tail.last == 0x0D { tail.removeLast() }
            if !tail.isEmpty { lines.append(tail) }
            tail = []
            rest = rest[(end + 1)...]
        }
        try append(rest)
        return lines
    }

    private mutating func append(_ bytes: ArraySlice<UInt8>) throws(APIError) {
        guard tail.count + bytes.count <= limit else {
            throw .malformed("an event of a watch is longer than \(limit) bytes")
        }
        tail += bytes
    }

    /// Call it at the stream's end.
    /// - Throws: `.unreachable` when the last event is not whole: it is lost, and comes again in a watch that goes on from the
    ///   event before.
    public func finish() throws(APIError) {
        guard tail.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0D }) else {
            throw .unreachable("the watch was cut in the middle of an event")
        }
    }
}
