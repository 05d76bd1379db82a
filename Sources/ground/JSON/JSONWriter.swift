extension FieldValue {
    /// JSON on one line, keys sorted: equal values give equal bytes.
    public var json: String {
        var bytes: [UInt8] = []
        write(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    private func write(to bytes: inout [UInt8]) {
        switch self {
        case .null: bytes += "null".utf8
        case .bool(let value): bytes += (value ? "true" : "false").utf8
        case .integer(let value): bytes += String(value).utf8
        // JSON has no infinity and no NaN; reading never yields one from JSON, and null is what JavaScript writes.
        case .number(let value): bytes += (value.isFinite ? "\(value)" : "null").utf8
        case .string(let value): writeQuoted(value, to: &bytes)
        case .array(let values):
            var separator = UInt8(ascii: "[")
            for value in values {
                bytes.append(separator)
                separator = UInt8(ascii: ",")
                value.write(to: &bytes)
            }
            bytes += (values.isEmpty ? "[]" : "]").utf8
        case .object(let members):
            var separator = UInt8(ascii: "{")
            for (key, value) in members {
                bytes.append(separator)
                separator = UInt8(ascii: ",")
                writeQuoted(key, to: &bytes)
                bytes.append(UInt8(ascii: ":"))
                value.write(to: &bytes)
            }
            bytes += (members.isEmpty ? "{}" : "}").utf8
        }
    }
}

/// `text` as a JSON string, which is also a YAML double-quoted scalar (RFC 8259, section 7); NUL becomes U+FFFD.
public func quotedJSON(_ text: String) -> String {
    var bytes: [UInt8] = []
    writeQuoted(text, to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
}

private func writeQuoted(_ text: String, to bytes: inout [UInt8]) {
    bytes.append(UInt8(ascii: "\""))
    defer { bytes.append(UInt8(ascii: "\"")) }
    let isPlain = text.utf8.allSatisfy { (0x20..<0x7F).contains($0) && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }
    if isPlain {
        bytes += text.utf8
        return
    }
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": bytes += "\\\"".utf8
        case "\\": bytes += "\\\\".utf8
        case "\n": bytes += "\\n".utf8
        // As reading it refuses: no status may become unreadable by what a VPS says.
        case "\u{0}": bytes += "\\ufffd".utf8
        case "\r": bytes += "\\r".utf8
        case "\t": bytes += "\\t".utf8
        // Beyond JSON's own: what YAML does not take bare (YAML 1.2, section 5.1) or reads as a line's end.
        case "\u{1}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}":
            let digits = String(scalar.value, radix: 16)
            bytes += "\\u\(String(repeating: "0", count: 4 - digits.count))\(digits)".utf8
        default: bytes += scalar.utf8
        }
    }
}
