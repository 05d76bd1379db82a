/// Takes the datagrams out of a stream: two bytes of length, big endian, then as many bytes. Empty datagrams are datagrams.
public struct DatagramReader: Sendable {
    /// Bytes of payload that a UDP datagram over IPv4 holds (RFC 768 and 791: 65,535 less 8 and 20).
    public static let longest = 65_507
    /// Bytes before each datagram.
    public static let prefix = 2

    private var length: Int?
    private var partial: [UInt8] = []

    public init() {}

    /// Whether what comes next begins a datagram.
    public var isAtStart: Bool { length == nil && partial.isEmpty }

    /// The bytes that this reader holds: less than one datagram and its length.
    public var held: Int { partial.count }

    /// Reads on in `input` from `offset`, which moves on; nil when no whole datagram is left.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> [UInt8]? {
        if length == nil {
            guard fill(to: Self.prefix, input, &offset) else { return nil }
            let announced = Int(partial[0]) << 8 | Int(partial[1])
            guard announced <= Self.longest else { throw .datagramTooLong(announced) }
            length = announced
            partial.removeAll(keepingCapacity: true)
        }
        guard let announced = length, fill(to: announced, input, &offset) else { return nil }
        length = nil
        defer { partial = [] }
        return partial
    }

    /// Whether `partial` now holds `count` bytes.
    private mutating func fill(to count: Int, _ input: RawSpan, _ offset: inout Int) -> Bool {
        let taken = min(count - partial.count, input.byteCount - offset)
        if taken > 0 {
            input.extracting(offset..<offset + taken).withUnsafeBytes { partial.append(contentsOf: $0) }
            offset += taken
        }
        return partial.count == count
    }

    /// What stands before a datagram of `count` bytes; nil when it is too long.
    public static func lengthBytes(of count: Int) -> [UInt8]? {
        guard (0...longest).contains(count) else { return nil }
        return [UInt8(count >> 8), UInt8(count & 0xFF)]
    }
}
