public import JSON

/// A place in a text; line and column count from 1.
public struct TextPosition: Hashable, Sendable {
    public var line: Int
    public var column: Int

    public init(line: Int, column: Int) {
        self.line = line
        self.column = column
    }
}

/// A value as it was written in YAML or JSON, with its place: what the resources are decoded from.
public struct FieldNode: Hashable, Sendable {
    public enum Content: Hashable, Sendable {
        case null
        case bool(Bool)
        case integer(Int64)
        case number(Double)
        case string(String)
        case sequence([FieldNode])
        /// In the order of the text; a key may stand twice, which decoding reports.
        case mapping([FieldEntry])
    }

    public var content: Content
    /// Nil for a value that was made, not read.
    public var position: TextPosition?

    public init(_ content: Content, position: TextPosition? = nil) {
        self.content = content
        self.position = position
    }

    public init(value: FieldValue) {
        switch value {
        case .null: self.init(.null)
        case .bool(let value): self.init(.bool(value))
        case .integer(let value): self.init(.integer(value))
        case .number(let value): self.init(.number(value))
        case .string(let value): self.init(.string(value))
        case .array(let values): self.init(.sequence(values.map { FieldNode(value: $0) }))
        case .object(let members):
            self.init(.mapping(members.map { FieldEntry(key: $0.key, value: FieldNode(value: $0.value)) }))
        }
    }
}

/// One key of a mapping and its value.
public struct FieldEntry: Hashable, Sendable {
    public var key: String
    public var keyPosition: TextPosition?
    public var value: FieldNode

    public init(key: String, keyPosition: TextPosition? = nil, value: FieldNode) {
        self.key = key
        self.keyPosition = keyPosition
        self.value = value
    }
}

/// A text that is no YAML or JSON at all, or one that goes beyond the limits set for them.
public struct SyntaxProblem: Error, Hashable, Sendable, CustomStringConvertible {
    public var position: TextPosition?
    public var message: String

    public init(position: TextPosition?, message: String) {
        self.position = position
        self.message = message
    }

    public var description: String {
        position.map { "line \($0.line), column \($0.column): \(message)" } ?? message
    }
}

/// Bounds on what is read, far above what resources need and far below what hurts.
public enum SyntaxLimits {
    /// Bytes of one document, as the Kubernetes API server bounds a request's object (etcd: 1.5 MiB).
    public static let documentBytes = 1 << 20
    /// Nesting; an affinity, the deepest thing there is, needs about 12.
    public static let depth = 64
    /// Values in one document, those that aliases stand for counted each time.
    public static let nodes = 300_000
}
