/// Writes a resource of Envoy, given as JSON, in the wire format of protocol buffers: what Envoy reads from a stream. It reads that some
/// six times faster than JSON.
///
/// What JSON means here is protobuf.dev/programming-guides/json, as far as `EnvoyConfig` writes it.
struct EnvoyEncoder {
    static let typePrefix = "type.googleapis.com/envoy."
    /// No message of ours is half as deep.
    private static let depthLimit = 32

    private let json: [UInt8]
    private var position = 0
    private var depth = 0

    /// - Throws: `MalformedMessage` that names what is not in the table, or no JSON.
    static func encode(_ json: String, as type: EnvoyMessage) throws(MalformedMessage) -> [UInt8] {
        var encoder = EnvoyEncoder(json: Array(json.utf8))
        var writer = ProtobufWriter()
        try encoder.object(type, &writer)
        guard encoder.position == encoder.json.count else { throw encoder.wrong("something after the end") }
        return writer.bytes
    }

    private init(json: [UInt8]) { self.json = json }

    private func wrong(_ reason: String) -> MalformedMessage { MalformedMessage(reason: "\(reason) at byte \(position)") }

    // MARK: values

    private mutating func object(_ type: EnvoyMessage, _ writer: inout ProtobufWriter) throws(MalformedMessage) {
        try expect(UInt8(ascii: "{"))
        if take(UInt8(ascii: "}")) { return }
        try members(type, &writer)
    }

    /// The rest of an object, from its first key, or the key after a comma, on.
    private mutating func members(_ type: EnvoyMessage, _ writer: inout ProtobufWriter) throws(MalformedMessage) {
        depth += 1
        defer { depth -= 1 }
        guard depth <= Self.depthLimit else { throw wrong("objects too deep in each other") }
        repeat {
            let key = try string()
            guard let field = type.field(key[...]) else {
                throw MalformedMessage(
                    reason: "\(type.name) has no field \"\(String(decoding: key.prefix(100), as: UTF8.self))\" that we know of")
            }
            try expect(UInt8(ascii: ":"))
            if field.isRepeated {
                try expect(UInt8(ascii: "["))
                if take(UInt8(ascii: "]")) { continue }
                repeat { try value(field, &writer) } while take(UInt8(ascii: ","))
                try expect(UInt8(ascii: "]"))
            } else {
                try value(field, &writer)
            }
        } while take(UInt8(ascii: ","))
        try expect(UInt8(ascii: "}"))
    }

    private mutating func value(_ field: EnvoyMessage.Field, _ writer: inout ProtobufWriter) throws(MalformedMessage) {
        var inner = ProtobufWriter()
        switch field.kind {
        case .string: writer.field(field.number, try string())
        case .scalar: writer.field(field.number, try scalar())
        case .wrapped:
            inner.field(1, try scalar())
            writer.field(field.number, inner.bytes)
        case .double:
            let text = numberText()
            guard let value = Double(text) else { throw wrong("no number") }
            writer.field(field.number, double: value)
        case .duration:
            try duration(try string(), &inner)
            writer.field(field.number, inner.bytes)
        case .names(let values):
            let name = String(decoding: try string(), as: UTF8.self)
            guard let value = values[name] else { throw wrong("\"\(name.prefix(100))\", which is no value that we know of") }
            writer.field(field.number, value)
        case .message(let type):
            try object(type, &inner)
            writer.field(field.number, inner.bytes)
        case .any:
            try any(&inner)
            writer.field(field.number, inner.bytes)
        }
    }

    /// An object whose first member is `@type`.
    private mutating func any(_ writer: inout ProtobufWriter) throws(MalformedMessage) {
        try expect(UInt8(ascii: "{"))
        guard try string().elementsEqual("@type".utf8) else { throw wrong("an Any without its @type in front") }
        try expect(UInt8(ascii: ":"))
        let url = String(decoding: try string(), as: UTF8.self)
        guard url.hasPrefix(Self.typePrefix), let type = EnvoyMessage.extensions[String(url.dropFirst(Self.typePrefix.count))]
        else { throw wrong("the type \(url.prefix(200)), which we do not know of") }
        writer.field(1, url.utf8)
        var inner = ProtobufWriter()
        if take(UInt8(ascii: ",")) { try members(type, &inner) } else { try expect(UInt8(ascii: "}")) }
        writer.field(2, inner.bytes)
    }

    /// Such as `1.25s`.
    private func duration(_ text: [UInt8], _ writer: inout ProtobufWriter) throws(MalformedMessage) {
        let parts = text.dropLast().split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        func number(_ digits: ArraySlice<UInt8>) -> UInt64? {
            digits.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(String(decoding: digits, as: UTF8.self)) : nil
        }
        guard text.last == UInt8(ascii: "s"), (1...2).contains(parts.count), let seconds = number(parts[0]) else {
            throw wrong("no duration")
        }
        if seconds > 0 { writer.field(1, seconds) }
        guard parts.count == 2 else { return }
        guard (1...9).contains(parts[1].count), var nanoseconds = number(parts[1]) else { throw wrong("no duration") }
        for _ in parts[1].count..<9 { nanoseconds *= 10 }
        if nanoseconds > 0 { writer.field(2, nanoseconds) }
    }

    private mutating func scalar() throws(MalformedMessage) -> UInt64 {
        let text = numberText()
        switch text {
        case "true": return 1
        case "false": return 0
        default:
            guard let value = Int64(text) else { throw wrong("neither a number nor a truth value") }
            return UInt64(bitPattern: value)
        }
    }

    // MARK: tokens

    private mutating func numberText() -> String {
        skipSpace()
        let start = position
        while position < json.count,
            ![UInt8(ascii: ","), UInt8(ascii: "}"), UInt8(ascii: "]"), 0x20, 0x0A].contains(json[position])
        {
            position += 1
        }
        return String(decoding: json[start..<position], as: UTF8.self)
    }

    private mutating func string() throws(MalformedMessage) -> [UInt8] {
        try expect(UInt8(ascii: "\""))
        var bytes: [UInt8] = []
        var start = position
        while position < json.count {
            let byte = json[position]
            if byte == UInt8(ascii: "\"") {
                bytes += json[start..<position]
                position += 1
                return bytes
            }
            position += 1
            guard byte == UInt8(ascii: "\\") else { continue }
            bytes += json[start..<(position - 1)]
            try escape(&bytes)
            start = position
        }
        throw wrong("a text without an end")
    }

    private mutating func escape(_ bytes: inout [UInt8]) throws(MalformedMessage) {
        guard position < json.count else { throw wrong("a text without an end") }
        let byte = json[position]
        position += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): bytes.append(byte)
        case UInt8(ascii: "n"): bytes.append(0x0A)
        case UInt8(ascii: "t"): bytes.append(0x09)
        case UInt8(ascii: "r"): bytes.append(0x0D)
        case UInt8(ascii: "u"):
            let digits = String(decoding: json[position..<min(position + 4, json.count)], as: UTF8.self)
            // What `JSON` escapes so are control characters.
            guard digits.utf8.count == 4, let code = UInt32(digits, radix: 16), let scalar = Unicode.Scalar(code) else {
                throw wrong("a character that we do not write so")
            }
            bytes += Array(String(Character(scalar)).utf8)
            position += 4
        default: throw wrong("an escape that we do not write")
        }
    }

    private mutating func skipSpace() {
        while position < json.count, json[position] == 0x20 || json[position] == 0x0A { position += 1 }
    }

    private mutating func take(_ byte: UInt8) -> Bool {
        skipSpace()
        guard position < json.count, json[position] == byte else { return false }
        position += 1
        return true
    }

    private mutating func expect(_ byte: UInt8) throws(MalformedMessage) {
        guard take(byte) else { throw wrong("no \"\(Character(Unicode.Scalar(byte)))\"") }
    }
}
