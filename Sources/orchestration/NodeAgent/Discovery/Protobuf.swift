/// The wire format of protocol buffers (protobuf.dev/programming-guides/encoding), as far as discovery needs it.
struct ProtobufWriter {
    private(set) var bytes: [UInt8] = []

    mutating func varint(_ value: UInt64) {
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        bytes.append(UInt8(rest))
    }

    mutating func field(_ number: UInt64, _ value: UInt64) {
        varint(number << 3)
        varint(value)
    }

    mutating func field(_ number: UInt64, double value: Double) {
        varint(number << 3 | 1)
        let bits = value.bitPattern
        for shift in stride(from: UInt64(0), to: 64, by: 8) { bytes.append(UInt8(truncatingIfNeeded: bits >> shift)) }
    }

    mutating func field(_ number: UInt64, _ contents: some Collection<UInt8>) {
        varint(number << 3 | 2)
        varint(UInt64(contents.count))
        bytes += contents
    }

    mutating func field(_ number: UInt64, _ build: (inout ProtobufWriter) -> Void) {
        var inner = ProtobufWriter()
        build(&inner)
        field(number, inner.bytes)
    }
}

/// Why bytes are not what a peer of ours sends.
struct MalformedMessage: Error, Hashable, Sendable, CustomStringConvertible {
    let reason: String
    var description: String { reason }
}

/// Walks over the fields of a message; hostile bytes give an error.
struct ProtobufReader {
    enum Value: Hashable {
        case varint(UInt64)
        case bytes(ArraySlice<UInt8>)
        /// Of eight or four bytes, which no field of ours has.
        case fixed
    }

    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { rest = bytes }

    /// - Returns: nil at the end.
    mutating func next() throws(MalformedMessage) -> (field: UInt64, value: Value)? {
        if rest.isEmpty { return nil }
        let key = try varint()
        guard key >> 3 > 0 else { throw MalformedMessage(reason: "a field without a number") }
        switch key & 7 {
        case 0: return (key >> 3, .varint(try varint()))
        case 1:
            _ = try take(8)
            return (key >> 3, .fixed)
        case 2: return (key >> 3, .bytes(try take(try varint())))
        case 5:
            _ = try take(4)
            return (key >> 3, .fixed)
        default: throw MalformedMessage(reason: "a field of wire type \(key & 7)")
        }
    }

    private mutating func take(_ count: UInt64) throws(MalformedMessage) -> ArraySlice<UInt8> {
        guard count <= UInt64(rest.count) else { throw MalformedMessage(reason: "a field that is longer than its message") }
        defer { rest = rest.dropFirst(Int(count)) }
        return rest.prefix(Int(count))
    }

    private mutating func varint() throws(MalformedMessage) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 64, by: 7) {
            guard let byte = rest.popFirst() else { throw MalformedMessage(reason: "a number that has no end") }
            if shift == 63 && byte > 1 { break }
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw MalformedMessage(reason: "a number of more than 64 bits")
    }
}
