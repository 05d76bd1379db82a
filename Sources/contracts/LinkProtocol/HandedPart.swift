/// A part of what the edge hands an uplink: bytes whose meaning is not the link's. The body of the message has the whole's length and the
/// part's place in it, 4 bytes each, big endian, before the bytes.
public struct HandedPart: Equatable, Sendable {
    /// Bytes of one part.
    static let longest = ControlMessage.longestStatus - 8

    public let total: Int
    public let offset: Int
    public let bytes: [UInt8]

    /// The messages that say all of it; they are shared by all links on which it is said.
    public static func messages(of whole: [UInt8]) -> [UInt8] {
        var messages: [UInt8] = []
        messages.reserveCapacity(whole.count + (whole.count / longest + 1) * 11)
        for offset in stride(from: 0, to: whole.count, by: longest) {
            let bytes = Array(whole[offset..<min(offset + longest, whole.count)])
            let part = HandedPart(total: whole.count, offset: offset, bytes: bytes)
            messages += ControlMessage.part(part).bytes ?? []
        }
        return messages
    }

    init(total: Int, offset: Int, bytes: [UInt8]) {
        self.total = total
        self.offset = offset
        self.bytes = bytes
    }

    init(body: ArraySlice<UInt8>) throws(LinkProtocolError) {
        guard body.count > 8 else { throw .controlMessage("a part of \(body.count) bytes") }
        total = body.prefix(4).reduce(0) { $0 << 8 | Int($1) }
        offset = body.dropFirst(4).prefix(4).reduce(0) { $0 << 8 | Int($1) }
        bytes = Array(body.dropFirst(8))
        guard offset + bytes.count <= total else { throw .controlMessage("a part that ends behind its whole") }
    }

    var body: [UInt8] {
        var body: [UInt8] = []
        body.append(bigEndian: UInt32(clamping: total))
        body.append(bigEndian: UInt32(clamping: offset))
        return body + bytes
    }
}

/// Puts parts together. One that begins anew lets the former go.
public struct HandedAssembly: Sendable {
    private let most: Int
    private var total = 0
    private var bytes: [UInt8] = []

    /// - Parameter most: bytes of a whole.
    public init(most: Int) { self.most = most }

    /// - Returns: the whole, once its last part came.
    public mutating func take(_ part: HandedPart) throws(LinkProtocolError) -> [UInt8]? {
        guard part.total <= most else { throw .controlMessage("\(part.total) bytes are handed over, and \(most) may be") }
        if part.offset == 0 { (total, bytes) = (part.total, []) }
        guard part.total == total, part.offset == bytes.count else {
            throw .controlMessage("parts that do not follow each other")
        }
        bytes += part.bytes
        guard bytes.count == total else { return nil }
        defer { (total, bytes) = (0, []) }
        return bytes
    }
}
