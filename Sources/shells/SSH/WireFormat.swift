/// Reads the values of RFC 4251 (section 5) off a byte array, never beyond its end.
struct WireFormatReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: some Sequence<UInt8>) { rest = ArraySlice(bytes) }

    var isAtEnd: Bool { rest.isEmpty }

    /// - Returns: nil when fewer than `count` bytes are left.
    mutating func bytes(_ count: Int) -> [UInt8]? {
        guard count >= 0, count <= rest.count else { return nil }
        defer { rest = rest.dropFirst(count) }
        return Array(rest.prefix(count))
    }

    mutating func uint32() -> UInt32? { bytes(4)?.reduce(0) { $0 << 8 | UInt32($1) } }

    /// A length and that many bytes.
    mutating func string() -> [UInt8]? { uint32().flatMap { bytes(Int($0)) } }

    /// A string of printable ASCII, the form of every name in SSH.
    mutating func name() -> String? {
        guard let bytes = string(), bytes.allSatisfy({ (0x21...0x7E).contains($0) }) else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Names with commas between them; empty for an empty list.
    mutating func nameList() -> [String]? { name().map { $0.split(separator: ",").map(String.init) } }
}

/// Writes them.
enum WireFormat {
    static func uint32(_ value: UInt32) -> [UInt8] {
        [UInt8(value >> 24), UInt8(value >> 16 & 0xFF), UInt8(value >> 8 & 0xFF), UInt8(value & 0xFF)]
    }

    static func string(_ text: String) -> [UInt8] { uint32(UInt32(text.utf8.count)) + Array(text.utf8) }
}
