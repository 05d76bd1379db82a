import JSON

/// Writes a resource of Envoy in the wire format of protocol buffers: what Envoy reads from a stream. It reads that some six times faster
/// than JSON.
///
/// What JSON means here is protobuf.dev/programming-guides/json, as far as `EnvoyConfig` writes it.
enum EnvoyEncoder {
    static let typePrefix = "type.googleapis.com/envoy."

    /// - Throws: `MalformedMessage` that names what is not in the table.
    static func encode(_ json: FieldValue, as type: EnvoyMessage) throws(MalformedMessage) -> [UInt8] {
        var writer = ProtobufWriter()
        try message(json, type, &writer)
        return writer.bytes
    }

    private static func message(_ json: FieldValue, _ type: EnvoyMessage, _ writer: inout ProtobufWriter) throws(MalformedMessage)
    {
        guard case .object(let members) = json else { throw MalformedMessage(reason: "\(type.name) is no object") }
        for (key, content) in members where key != typeKey {
            guard let field = type.field(key) else {
                throw MalformedMessage(reason: "\(type.name) has no field \"\(key)\" that we know of")
            }
            guard field.isRepeated else {
                try value(content, field, &writer)
                continue
            }
            guard case .array(let values) = content else { throw wrong(field, "no list") }
            for element in values { try value(element, field, &writer) }
        }
    }

    private static let typeKey = "@type"

    private static func wrong(_ field: EnvoyMessage.Field, _ reason: String) -> MalformedMessage {
        MalformedMessage(reason: "\(field.name): \(reason)")
    }

    private static func value(
        _ json: FieldValue, _ field: EnvoyMessage.Field, _ writer: inout ProtobufWriter
    ) throws(MalformedMessage) {
        var inner = ProtobufWriter()
        switch field.kind {
        case .string: writer.field(field.number, try text(json, field).utf8)
        case .scalar: writer.field(field.number, try scalar(json, field))
        case .wrapped:
            inner.field(1, try scalar(json, field))
            writer.field(field.number, inner.bytes)
        case .double: writer.field(field.number, double: try number(json, field))
        case .duration:
            try duration(try text(json, field), field, &inner)
            writer.field(field.number, inner.bytes)
        case .names(let values):
            let name = try text(json, field)
            guard let value = values[name] else { throw wrong(field, "\"\(name)\", which is no value that we know of") }
            writer.field(field.number, value)
        case .message(let type):
            try message(json, type, &inner)
            writer.field(field.number, inner.bytes)
        case .any:
            try any(json, field, &inner)
            writer.field(field.number, inner.bytes)
        }
    }

    /// An object with the member `@type`.
    private static func any(
        _ json: FieldValue, _ field: EnvoyMessage.Field, _ writer: inout ProtobufWriter
    ) throws(MalformedMessage) {
        guard case .object(let members) = json, case .string(let url)? = members[typeKey]
        else { throw wrong(field, "an Any without its @type") }
        guard url.hasPrefix(typePrefix), let type = EnvoyMessage.extensions[String(url.dropFirst(typePrefix.count))] else {
            throw wrong(field, "the type \(url), which we do not know of")
        }
        writer.field(1, url.utf8)
        var inner = ProtobufWriter()
        try message(json, type, &inner)
        writer.field(2, inner.bytes)
    }

    private static func text(_ json: FieldValue, _ field: EnvoyMessage.Field) throws(MalformedMessage) -> String {
        guard case .string(let text) = json else { throw wrong(field, "no text") }
        return text
    }

    private static func scalar(_ json: FieldValue, _ field: EnvoyMessage.Field) throws(MalformedMessage) -> UInt64 {
        switch json {
        case .bool(let value): return value ? 1 : 0
        case .integer(let value): return UInt64(bitPattern: value)
        default: throw wrong(field, "neither a number nor a truth value")
        }
    }

    private static func number(_ json: FieldValue, _ field: EnvoyMessage.Field) throws(MalformedMessage) -> Double {
        switch json {
        case .integer(let value): return Double(value)
        case .number(let value): return value
        default: throw wrong(field, "no number")
        }
    }

    /// Such as `1.25s`.
    private static func duration(
        _ text: String, _ field: EnvoyMessage.Field, _ writer: inout ProtobufWriter
    ) throws(MalformedMessage) {
        let parts = text.dropLast().split(separator: ".", omittingEmptySubsequences: false)
        func number(_ digits: Substring) -> UInt64? {
            digits.utf8.allSatisfy { (0x30...0x39).contains($0) } ? UInt64(digits) : nil
        }
        guard text.last == "s", (1...2).contains(parts.count), let seconds = number(parts[0]) else {
            throw wrong(field, "no duration")
        }
        if seconds > 0 { writer.field(1, seconds) }
        guard parts.count == 2 else { return }
        guard (1...9).contains(parts[1].count), var nanoseconds = number(parts[1]) else { throw wrong(field, "no duration") }
        for _ in parts[1].count..<9 { nanoseconds *= 10 }
        if nanoseconds > 0 { writer.field(2, nanoseconds) }
    }
}
