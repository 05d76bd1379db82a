import NetworkTypes

/// One thing wrong with a manifest.
public struct FieldProblem: Hashable, Sendable, CustomStringConvertible {
    public enum Severity: Hashable, Sendable {
        /// The object is not used.
        case error
        /// Worth knowing; the object is used.
        case warning
    }

    public var severity: Severity
    /// Such as `PortBinding default/web`; empty where the manifest does not say.
    public var object: String
    /// Such as `spec.bindings[2].tcp.idleTimeout`; empty for the document as a whole.
    public var path: String
    /// Nil where the text has no lines, as an answer of the API server.
    public var position: TextPosition?
    /// What was expected, what was given, and what to do.
    public var message: String

    public init(
        severity: Severity = .error, object: String = "", path: String, position: TextPosition?, message: String
    ) {
        self.severity = severity
        self.object = object
        self.path = path
        self.position = position
        self.message = message
    }

    public var description: String {
        let place = position.map { "line \($0.line)" } ?? ""
        return [place, object, path, message].filter { !$0.isEmpty }.joined(separator: ": ")
    }
}

/// What decoding gave: a value, or the reasons why there is none. A value may come with warnings.
public struct Decoded<Value> {
    public var value: Value?
    public var problems: [FieldProblem]

    public init(value: Value?, problems: [FieldProblem]) {
        self.value = value
        self.problems = problems
    }
}

extension Decoded: Sendable where Value: Sendable {}

/// What decoding does with fields that the API does not have.
public enum UnknownFields: Sendable {
    /// A problem each, naming the nearest known field: for manifests that people write.
    case refused
    /// Passed over: for objects of an API server, which may know more than this program.
    case ignored
}

/// Where a field is, built while decoding goes down and written out only for a problem.
public indirect enum FieldPath {
    case root
    case field(FieldPath, String)
    case key(FieldPath, String)
    case index(FieldPath, Int)

    public var text: String {
        switch self {
        case .root: ""
        case .field(.root, let name): name
        case .field(let parent, let name): "\(parent.text).\(name)"
        case .key(let parent, let name): "\(parent.text)[\"\(printable(name))\"]"
        case .index(let parent, let index): "\(parent.text)[\(index)]"
        }
    }
}

/// Collects the problems of one object while it is decoded.
public final class ProblemLog {
    /// More of one object help nobody, and a hostile one could have very many.
    private static let most = 100

    private var found: [FieldProblem] = []
    public private(set) var hasErrors = false
    public let unknownFields: UnknownFields
    /// Known once `metadata` is read; names the object in all its problems, earlier ones too.
    public var object = ""

    public init(unknownFields: UnknownFields) { self.unknownFields = unknownFields }

    public var problems: [FieldProblem] {
        found.map { problem in
            var problem = problem
            problem.object = object
            return problem
        }
    }

    /// Whether what is added from now on is not told: a search for words of advice would be in vain.
    public var isFull: Bool { found.count > Self.most }

    public func add(_ message: String, path: FieldPath, position: TextPosition?, severity: FieldProblem.Severity = .error) {
        if severity == .error { hasErrors = true }
        guard found.count <= Self.most else { return }
        if found.count == Self.most {
            found.append(
                FieldProblem(path: "", position: position, message: "there is more; mend the first \(Self.most) to see it"))
        } else {
            found.append(FieldProblem(severity: severity, path: path.text, position: position, message: message))
        }
    }

    /// `value`, unless an error was found on the way to it.
    public func decoded<Value>(_ value: Value?) -> Decoded<Value> {
        Decoded(value: hasErrors ? nil : value, problems: problems)
    }
}
