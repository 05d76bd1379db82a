/// A JSON value that is written in one way only: no white space, keys sorted by their bytes.
public enum JSON: Hashable, Sendable {
    case string(String)
    case integer(Int)
    /// A number with a fraction, in the digits given.
    case decimal(String)
    case bool(Bool)
    case array([JSON])
    case object([Member])
    /// A member with this value is left out.
    case absent

    public struct Member: Hashable, Sendable {
        public let key: String
        public let value: JSON

        init(key: String, value: JSON) {
            self.key = key
            self.value = value
        }
    }

    public var text: String {
        var output: [UInt8] = []
        output.reserveCapacity(2048)
        write(to: &output)
        return String(decoding: output, as: UTF8.self)
    }

    /// The object with another member.
    func adding(_ key: String, _ value: JSON) -> JSON {
        guard case .object(let members) = self else { return self }
        return .object([Member(key: key, value: value)] + members)
    }

    private func write(to output: inout [UInt8]) {
        switch self {
        case .string(let value): Self.write(value, to: &output)
        case .integer(let value): output.append(contentsOf: String(value).utf8)
        case .decimal(let digits): output.append(contentsOf: digits.utf8)
        case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
        case .array(let values):
            output.append(UInt8(ascii: "["))
            for (index, value) in values.enumerated() {
                if index > 0 { output.append(UInt8(ascii: ",")) }
                value.write(to: &output)
            }
            output.append(UInt8(ascii: "]"))
        case .object(let members):
            output.append(UInt8(ascii: "{"))
            var isFirst = true
            // Most are written down in order; thousands of them are worth the look.
            let isSorted = zip(members, members.dropFirst()).allSatisfy { $0.key < $1.key }
            for member in isSorted ? members : members.sorted(by: { $0.key < $1.key }) {
                if case .absent = member.value { continue }
                if !isFirst { output.append(UInt8(ascii: ",")) }
                isFirst = false
                Self.write(member.key, to: &output)
                output.append(UInt8(ascii: ":"))
                member.value.write(to: &output)
            }
            output.append(UInt8(ascii: "}"))
        case .absent: output.append(contentsOf: "null".utf8)
        }
    }

    private static func write(_ text: String, to output: inout [UInt8]) {
        output.append(UInt8(ascii: "\""))
        if text.utf8.allSatisfy({ $0 >= 0x20 && $0 != 0x7F && $0 != UInt8(ascii: "\"") && $0 != UInt8(ascii: "\\") }) {
            output.append(contentsOf: text.utf8)
            output.append(UInt8(ascii: "\""))
            return
        }
        for byte in text.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                output.append(UInt8(ascii: "\\"))
                output.append(byte)
            case UInt8(ascii: "\n"): output.append(contentsOf: "\\n".utf8)
            case 0..<0x20, 0x7F:
                let digits = String(byte, radix: 16)
                output.append(contentsOf: (digits.utf8.count == 1 ? "\\u000" : "\\u00").utf8)
                output.append(contentsOf: digits.utf8)
            default: output.append(byte)
            }
        }
        output.append(UInt8(ascii: "\""))
    }
}

extension JSON: ExpressibleByStringLiteral, ExpressibleByStringInterpolation, ExpressibleByIntegerLiteral,
    ExpressibleByBooleanLiteral, ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(stringLiteral value: String) { self = .string(value) }
    public init(integerLiteral value: Int) { self = .integer(value) }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(arrayLiteral elements: JSON...) { self = .array(elements) }
    public init(dictionaryLiteral elements: (String, JSON)...) {
        self = .object(elements.map { Member(key: $0.0, value: $0.1) })
    }
}
