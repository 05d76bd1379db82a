extension FieldNode {
    /// Reads one JSON value (RFC 8259), strictly, within `SyntaxLimits`.
    /// - Parameters:
    ///   - limit: bytes; a list of the API server may be longer than one object.
    ///   - replacesNUL: whether a NUL character becomes U+FFFD instead of a problem: one object of somebody else's must not make
    ///     a whole list unreadable.
    ///   - parts: what of it is kept.
    /// - Throws: `SyntaxProblem` at the first place that is no JSON.
    public init(
        json: [UInt8], limit: Int = SyntaxLimits.documentBytes, replacesNUL: Bool = false, parts: JSONParts = .all
    ) throws(SyntaxProblem) {
        guard json.count <= limit else {
            throw SyntaxProblem(position: nil, message: "the document is longer than \(limit) bytes")
        }
        var reader = JSONReader(bytes: json, replacesNUL: replacesNUL)
        self = try reader.document(parts)
    }
}

/// Which parts of a JSON text are kept. Of what is left out no value is made, so that nobody's long text costs memory.
public indirect enum JSONParts: Hashable, Sendable {
    case all
    case none
    /// Of a mapping: what is kept of these fields, and whether all others are kept whole.
    case fields([String: JSONParts], others: Bool)
    /// Of each element of a sequence.
    case each(JSONParts)

    fileprivate func part(_ key: String) -> JSONParts {
        switch self {
        case .all, .each: .all
        case .none: .none
        case .fields(let fields, let others): fields[key] ?? (others ? .all : .none)
        }
    }

    fileprivate var element: JSONParts { if case .each(let parts) = self { parts } else { .all } }
}

private struct JSONReader {
    private let bytes: [UInt8]
    private let replacesNUL: Bool
    private var offset = 0
    private var line = 1
    private var lineStart = 0

    init(bytes: [UInt8], replacesNUL: Bool) {
        self.bytes = bytes
        self.replacesNUL = replacesNUL
    }

    private var position: TextPosition { TextPosition(line: line, column: offset - lineStart + 1) }

    private func fail(_ message: String) -> SyntaxProblem { SyntaxProblem(position: position, message: message) }

    private var byte: UInt8? { offset < bytes.count ? bytes[offset] : nil }

    mutating func document(_ parts: JSONParts) throws(SyntaxProblem) -> FieldNode {
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { offset = 3 }
        let node = try value(depth: 0, parts)
        skipSpace()
        guard byte == nil else { throw fail("expected the end of the text after the JSON value") }
        return node
    }

    private mutating func skipSpace() {
        while let byte {
            switch byte {
            case 0x20, 0x09, 0x0D: offset += 1
            case 0x0A:
                offset += 1
                line += 1
                lineStart = offset
            default: return
            }
        }
    }

    private mutating func value(depth: Int, _ parts: JSONParts) throws(SyntaxProblem) -> FieldNode {
        guard depth <= SyntaxLimits.depth else { throw fail("nested deeper than \(SyntaxLimits.depth) levels") }
        skipSpace()
        let start = position
        guard let byte else { throw fail("the JSON text ends too early") }
        switch byte {
        case UInt8(ascii: "{"): return FieldNode(try mapping(depth: depth, parts), position: start)
        case UInt8(ascii: "["): return FieldNode(try sequence(depth: depth, parts.element), position: start)
        case UInt8(ascii: "\""): return FieldNode(.string(try string()), position: start)
        case UInt8(ascii: "t"): return FieldNode(try word("true", .bool(true)), position: start)
        case UInt8(ascii: "f"): return FieldNode(try word("false", .bool(false)), position: start)
        case UInt8(ascii: "n"): return FieldNode(try word("null", .null), position: start)
        default: return FieldNode(try number(), position: start)
        }
    }

    private mutating func word(_ text: String, _ content: FieldNode.Content) throws(SyntaxProblem) -> FieldNode.Content {
        guard bytes[offset...].starts(with: text.utf8) else { throw fail("expected a JSON value") }
        offset += text.utf8.count
        return content
    }

    private mutating func mapping(depth: Int, _ parts: JSONParts) throws(SyntaxProblem) -> FieldNode.Content {
        var entries: [FieldEntry] = []
        offset += 1
        skipSpace()
        if byte == UInt8(ascii: "}") {
            offset += 1
            return .mapping([])
        }
        while true {
            skipSpace()
            let keyPosition = position
            guard byte == UInt8(ascii: "\"") else { throw fail("expected a key in double quotes") }
            let key = try string()
            skipSpace()
            guard byte == UInt8(ascii: ":") else { throw fail("expected : after the key") }
            offset += 1
            let part = parts.part(key)
            if case .none = part {
                try pass()
            } else {
                entries.append(FieldEntry(key: key, keyPosition: keyPosition, value: try value(depth: depth + 1, part)))
            }
            if try endsAfterElement("}") { return .mapping(entries) }
        }
    }

    private mutating func sequence(depth: Int, _ parts: JSONParts) throws(SyntaxProblem) -> FieldNode.Content {
        var nodes: [FieldNode] = []
        offset += 1
        skipSpace()
        if byte == UInt8(ascii: "]") {
            offset += 1
            return .sequence([])
        }
        while true {
            nodes.append(try value(depth: depth + 1, parts))
            if try endsAfterElement("]") { return .sequence(nodes) }
        }
    }

    /// Goes to the end of a value. Its brackets and texts are looked at, and nothing else of it.
    private mutating func pass() throws(SyntaxProblem) {
        skipSpace()
        let start = offset
        var depth = 0
        while let byte {
            switch byte {
            case UInt8(ascii: "\""): try passString()
            case UInt8(ascii: "{"), UInt8(ascii: "["):
                depth += 1
                offset += 1
            case UInt8(ascii: "}"), UInt8(ascii: "]"), UInt8(ascii: ","):
                if depth == 0 {
                    guard offset > start else { throw fail("expected a JSON value") }
                    return
                }
                if byte != UInt8(ascii: ",") { depth -= 1 }
                offset += 1
            case 0x0A: skipSpace()
            default: offset += 1
            }
        }
        throw fail("the JSON text ends too early")
    }

    private mutating func passString() throws(SyntaxProblem) {
        let opening = position
        offset += 1
        while let byte {
            offset += byte == UInt8(ascii: "\\") ? 2 : 1
            if byte == UInt8(ascii: "\"") { return }
        }
        throw SyntaxProblem(position: opening, message: "the text that begins here never ends")
    }

    private mutating func endsAfterElement(_ end: Character) throws(SyntaxProblem) -> Bool {
        skipSpace()
        switch byte {
        case UInt8(ascii: ",")?:
            offset += 1
            return false
        case end.asciiValue?:
            offset += 1
            return true
        default:
            throw fail("expected , or \(end)")
        }
    }

    private mutating func digits() -> Int {
        let start = offset
        while let byte, byte >= 0x30, byte <= 0x39 { offset += 1 }
        return offset - start
    }

    private mutating func number() throws(SyntaxProblem) -> FieldNode.Content {
        let start = offset
        var isWhole = true
        if byte == UInt8(ascii: "-") { offset += 1 }
        let leadsWithZero = byte == UInt8(ascii: "0")
        let whole = digits()
        guard whole == 1 || (whole > 1 && !leadsWithZero) else { throw fail("expected a JSON value") }
        if byte == UInt8(ascii: ".") {
            isWhole = false
            offset += 1
            guard digits() > 0 else { throw fail("expected a digit after the decimal point") }
        }
        if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
            isWhole = false
            offset += 1
            if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { offset += 1 }
            guard digits() > 0 else { throw fail("expected a digit in the exponent") }
        }
        let text = String(decoding: bytes[start..<offset], as: UTF8.self)
        if isWhole, let value = Int64(text) { return .integer(value) }
        guard let value = Double(text), value.isFinite else { throw fail("the number is too large") }
        return .number(value)
    }

    private mutating func string() throws(SyntaxProblem) -> String {
        let opening = position
        offset += 1
        var text: [UInt8] = []
        while let byte {
            switch byte {
            case UInt8(ascii: "\""):
                offset += 1
                guard let string = String(validating: text, as: UTF8.self) else {
                    throw SyntaxProblem(position: opening, message: "the text is not UTF-8")
                }
                return string
            case UInt8(ascii: "\\"):
                offset += 1
                try escape(into: &text)
            case ..<0x20:
                throw fail("control characters need an escape inside a text")
            default:
                text.append(byte)
                offset += 1
            }
        }
        throw SyntaxProblem(position: opening, message: "the text that begins here never ends")
    }

    private mutating func escape(into text: inout [UInt8]) throws(SyntaxProblem) {
        guard let byte else { throw fail("the JSON text ends too early") }
        offset += 1
        switch byte {
        case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(byte)
        case UInt8(ascii: "b"): text.append(0x08)
        case UInt8(ascii: "f"): text.append(0x0C)
        case UInt8(ascii: "n"): text.append(0x0A)
        case UInt8(ascii: "r"): text.append(0x0D)
        case UInt8(ascii: "t"): text.append(0x09)
        case UInt8(ascii: "u"):
            var code = try fourDigits()
            if (0xD800...0xDBFF).contains(code), bytes[offset...].starts(with: "\\u".utf8) {
                offset += 2
                let low = try fourDigits()
                guard (0xDC00...0xDFFF).contains(low) else { throw fail("half of a surrogate pair") }
                code = 0x10000 + (code - 0xD800) << 10 + (low - 0xDC00)
            }
            if code == 0 && replacesNUL { code = 0xFFFD }
            guard let scalar = Unicode.Scalar(code) else { throw fail("half of a surrogate pair") }
            guard code != 0 else { throw fail("a NUL character has no place in a manifest") }
            text += UTF8.encode(scalar)?.map { $0 } ?? []
        default: throw fail("unknown escape")
        }
    }

    private mutating func fourDigits() throws(SyntaxProblem) -> UInt32 {
        let digits = bytes[offset...].prefix(4)
        guard digits.count == 4, digits.allSatisfy({ Character(Unicode.Scalar($0)).isHexDigit }),
            let code = UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        else { throw fail("expected four hexadecimal digits") }
        offset += 4
        return code
    }
}
