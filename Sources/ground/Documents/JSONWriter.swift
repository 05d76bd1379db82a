extension FieldValue {
    /// JSON on one line, keys sorted: equal values give equal bytes.
    public var json: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        // JSON has no infinity and no NaN; reading never yields one from JSON, and null is what JavaScript writes.
        case .number(let value): text += value.isFinite ? "\(value)" : "null"
        case .string(let value): text += quotedJSON(value)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text)
            }
            text += "]"
        case .object(let values):
            text += "{"
            for (index, entry) in values.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { text += "," }
                text += quotedJSON(entry.key) + ":"
                entry.value.write(to: &text)
            }
            text += "}"
        }
    }

    /// An object of the fields that are there.
    public static func fields(_ fields: [String: FieldValue?]) -> FieldValue { .object(fields.compactMapValues { $0 }) }

    /// Nil for an empty mapping, which is then left out.
    public static func texts(_ texts: [String: String]) -> FieldValue? {
        texts.isEmpty ? nil : .object(texts.mapValues { .string($0) })
    }

    public static func integer(_ value: Int) -> FieldValue { .integer(Int64(value)) }
    public static func text(_ value: some CustomStringConvertible) -> FieldValue { .string(value.description) }
}

/// `text` as a JSON string, which is also a YAML double-quoted scalar (RFC 8259, section 7); NUL becomes U+FFFD.
public func quotedJSON(_ text: String) -> String {
    var result = "\""
    for scalar in text.unicodeScalars {
        switch scalar {
        case "\"": result += "\\\""
        case "\\": result += "\\\\"
        case "\n": result += "\\n"
        // As reading it refuses: no status may become unreadable by what a VPS says.
        case "\u{0}": result += "\\ufffd"
        case "\r": result += "\\r"
        case "\t": result += "\\t"
        // Beyond JSON's own: what YAML does not take bare (YAML 1.2, section 5.1) or reads as a line's end.
        case "\u{1}"..."\u{1F}", "\u{7F}"..."\u{9F}", "\u{2028}", "\u{2029}", "\u{FEFF}", "\u{FFFE}", "\u{FFFF}":
            let digits = String(scalar.value, radix: 16)
            result += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: result.unicodeScalars.append(scalar)
        }
    }
    return result + "\""
}
