/// What JSON that somebody else wrote may hold. It is looked at before it is decoded: an array of empty texts takes fifty times its length in
/// memory.
public struct JSONBounds: Hashable, Sendable {
    public var bytes: Int
    /// Objects, arrays, commas and colons.
    public var values: Int
    /// Of one text, in bytes as JSON has them.
    public var textBytes: Int
    /// Objects and arrays in each other.
    public var depth: Int

    /// Characters of a number or a literal.
    private static let numberBytes = 40

    public init(bytes: Int, values: Int, textBytes: Int = 16 << 10, depth: Int = 12) {
        self.bytes = bytes
        self.values = values
        self.textBytes = textBytes
        self.depth = depth
    }

    /// - Returns: which bound it breaks; nil when it is within all. Whether it is JSON is not looked at.
    public func excess(in json: some Collection<UInt8>) -> String? {
        if json.count > bytes { return "\(json.count) bytes" }
        return json.withContiguousStorageIfAvailable { excess(of: $0) } ?? Array(json).withUnsafeBufferPointer { excess(of: $0) }
    }

    private func excess(of json: UnsafeBufferPointer<UInt8>) -> String? {
        var (level, count, length) = (0, 0, 0)
        var (isText, isEscaped) = (false, false)
        for byte in json {
            length += 1
            if isText {
                if byte == 0x22, !isEscaped {
                    isText = false
                } else if length > textBytes {
                    return "a text of more than \(textBytes) bytes"
                }
                isEscaped = byte == 0x5C && !isEscaped
                continue
            }
            switch byte {
            case 0x22: (isText, length) = (true, 0)
            case 0x7B, 0x5B:
                (level, count, length) = (level + 1, count + 1, 0)
                if level > depth { return "\(level) levels" }
            case 0x7D, 0x5D: (level, length) = (level - 1, 0)
            case 0x2C, 0x3A: (count, length) = (count + 1, 0)
            case 0x20, 0x09, 0x0A, 0x0D: length = 0
            default: if length > Self.numberBytes { return "a number of more than \(Self.numberBytes) digits" }
            }
            if count > values { return "more than \(values) values" }
        }
        return nil
    }
}

extension DocumentJSON {
    /// Decodes what somebody else wrote.
    /// - Throws: also where it breaks `bounds`.
    public static func decode<Value: Decodable>(
        _ type: Value.Type, from bytes: some Collection<UInt8>, within bounds: JSONBounds
    ) throws(DocumentError) -> Value {
        if let excess = bounds.excess(in: bytes) { throw DocumentError(message: "more than it may hold: \(excess)") }
        return try decode(type, from: bytes)
    }
}
