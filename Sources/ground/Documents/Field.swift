public import NetworkTypes

/// One field while it is decoded: its value if there is one, and where to report what is wrong with it.
///
/// The readers return nil for a field that is absent or null, and for one that is wrong, which they report.
public struct Field {
    /// Nil when absent or null, which mean the same in Kubernetes.
    public let node: FieldNode?
    public let path: FieldPath
    public let position: TextPosition?
    public let log: ProblemLog
    /// Never repeat the value in a message.
    public let isSecret: Bool

    public init(_ node: FieldNode?, path: FieldPath, position: TextPosition?, log: ProblemLog, isSecret: Bool) {
        self.node = if case .null? = node?.content { nil } else { node }
        self.path = path
        self.position = node?.position ?? position
        self.log = log
        self.isSecret = isSecret
    }

    public init(document node: FieldNode, path: FieldPath = .root, log: ProblemLog, isSecret: Bool = false) {
        self.init(node, path: path, position: nil, log: log, isSecret: isSecret)
    }

    public var isPresent: Bool { node != nil }

    public func fail(_ message: String) { log.add(message, path: path, position: position) }

    /// Reports a field that must be there and is not.
    /// - Parameter purpose: what the field is for, such as "the public port".
    public func required(_ purpose: String) -> Field {
        if node == nil { fail("is required: \(purpose)") }
        return self
    }

    public func mismatch(_ expected: String) {
        fail("expected \(expected), given \(node.map(given) ?? "nothing")")
    }

    private func given(_ node: FieldNode) -> String {
        switch node.content {
        case .null: "nothing"
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .string where isSecret: "a text"
        case .string(let text): "\"\(printable(text))\""
        case .bool, .integer, .number:
            isSecret ? "something that is no text (put it in quotes)" : "\(scalarText(node)) (a text needs quotes)"
        }
    }

    private func scalarText(_ node: FieldNode) -> String {
        switch node.content {
        case .bool(let value): "the boolean \(value)"
        case .integer(let value): "the number \(value)"
        case .number(let value): "the number \(value)"
        default: ""
        }
    }

    // MARK: Scalars

    /// - Parameter expected: what the text should be, such as `a DNS label`.
    public func string(_ expected: String = "a text") -> String? {
        guard let node else { return nil }
        guard case .string(let text) = node.content else {
            mismatch(expected)
            return nil
        }
        return text
    }

    /// A text that fits `rule`.
    public func string(_ expected: String, where rule: (String) -> Bool) -> String? {
        guard let text = string(expected) else { return nil }
        guard rule(text) else {
            mismatch(expected)
            return nil
        }
        return text
    }

    public func bool() -> Bool? {
        guard let node else { return nil }
        guard case .bool(let value) = node.content else {
            fail("expected true or false, given \(plainGiven(node))")
            return nil
        }
        return value
    }

    /// - Parameter unit: what is counted, such as `bytes`.
    public func integer(_ range: ClosedRange<Int64>, unit: String = "") -> Int? {
        guard let node else { return nil }
        let expected = "a whole number\(unit.isEmpty ? "" : " of \(unit)") from \(range.lowerBound) to \(range.upperBound)"
        guard case .integer(let value) = node.content, range.contains(value), let number = Int(exactly: value) else {
            fail("expected \(expected), given \(plainGiven(node))")
            return nil
        }
        return number
    }

    /// What was given, where the quotes of a text may be the mistake.
    private func plainGiven(_ node: FieldNode) -> String {
        if isSecret { return "something else" }
        return switch node.content {
        case .string(let text): "the text \"\(printable(text))\""
        case .bool, .integer, .number: scalarText(node)
        default: given(node)
        }
    }

    public func port() -> Port? {
        guard let number = integer(1...65535) else { return nil }
        return try? Port(number)
    }

    /// A Go duration within `range`; `zeroMeaning` says what `0s` stands for where it is allowed too.
    public func duration(_ range: ClosedRange<GoDuration>, zeroMeaning: String? = nil) -> GoDuration? {
        guard let node else { return nil }
        guard case .string(let text) = node.content else {
            fail("expected a duration such as 30s, 1h30m or 500ms, given \(plainGiven(node)): a unit is missing")
            return nil
        }
        do throws(InvalidValue) {
            let value = try GoDuration(parsing: text)
            if range.contains(value) || (zeroMeaning != nil && value.nanoseconds == 0) { return value }
            let zero = zeroMeaning.map { ", or 0s \($0)" } ?? ""
            fail("expected a duration from \(range.lowerBound) to \(range.upperBound)\(zero), given \"\(printable(text))\"")
        } catch {
            fail("\(error)")
        }
        return nil
    }

    /// A text that parses as `Value`.
    public func parsed<Value: StringValue>(_ type: Value.Type, _ expected: String) -> Value? {
        guard let text = string(expected) else { return nil }
        do throws(InvalidValue) {
            return try Value(parsing: text)
        } catch {
            fail(isSecret ? "expected \(expected)" : "\(error)")
            return nil
        }
    }

    /// One of a few texts.
    public func choice<Value>(_ values: [(name: String, value: Value)]) -> Value? {
        let expected = "one of " + values.map(\.name).joined(separator: ", ")
        guard let text = string(expected) else { return nil }
        if let match = values.first(where: { $0.name == text }) { return match.value }
        let hint = nearestName(to: text, among: values.map(\.name)).map { "; did you mean \"\($0)\"?" } ?? ""
        fail("expected \(expected), given \"\(printable(text))\"\(hint)")
        return nil
    }
}
