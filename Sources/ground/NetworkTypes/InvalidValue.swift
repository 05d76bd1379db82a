/// A text or number that is not what its type demands.
public struct InvalidValue: Error, Hashable, Sendable, CustomStringConvertible {
    /// The field's word for what was expected, such as `port`.
    public let expected: String
    /// What was given, made safe to print: control characters escaped, cut at 80 characters.
    public let given: String
    /// Why it does not fit, such as `must be between 1 and 65535`.
    public let reason: String

    public init(expected: String, given: String, reason: String) {
        self.expected = expected
        self.given = printable(given)
        self.reason = reason
    }

    public var description: String { "\"\(given)\" is not a valid \(expected): \(reason)" }
}

/// `text` with every character that could forge a log line or a terminal escape made visible, at most `limit` characters.
public func printable(_ text: String, limit: Int = 80) -> String {
    var result = ""
    var count = 0
    for scalar in text.unicodeScalars {
        if count == limit { return result + "…" }
        count += 1
        switch scalar {
        case "\"", "\\": result += "\\\(scalar)"
        case "\n": result += "\\n"
        default:
            let category = scalar.properties.generalCategory
            let isHidden =
                category == .control || category == .format || category == .lineSeparator
                || category == .paragraphSeparator || category == .surrogate
            if isHidden {
                result += "\\u{\(String(scalar.value, radix: 16))}"
            } else {
                result.unicodeScalars.append(scalar)
            }
        }
    }
    return result
}
