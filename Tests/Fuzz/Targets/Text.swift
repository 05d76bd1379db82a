import Documents
import EdgeAPI
import JSON
import YAML

/// The JSON reader, and the writer by its side.
@Sendable func fuzzJSON(_ input: [UInt8]) {
    do throws(SyntaxProblem) {
        let node = try FieldNode(json: input)
        require(node.depth <= SyntaxLimits.depth + 1, "nested no deeper than the limit")
        let value = node.plain
        let again = required("what was written can be read") { () throws(SyntaxProblem) in
            try FieldNode(json: Array(value.json.utf8))
        }
        require(again.plain == value, "JSON gives the value back: \(value.json)")
    } catch {
        requirePrintable(error.description)
    }
    if let lenient = try? FieldNode(json: input, replacesNUL: true) {
        if let strict = try? FieldNode(json: input) { require(strict.plain == lenient.plain, "only NUL is read otherwise") }
    }
}

/// The YAML reader, and the writer by its side.
@Sendable func fuzzYAML(_ input: [UInt8]) {
    let (documents, problem) = readYAML(input)
    if let problem { requirePrintable(problem.description) }
    for document in documents {
        require(document.depth <= SyntaxLimits.depth + 1, "nested no deeper than the limit")
        // A longer one is written as no YAML can read it (1024 characters); nothing of ours has such keys.
        guard document.longestKey < 1000 else { continue }
        let value = document.plain
        let (again, fault) = readYAML(Array(value.yaml.utf8))
        require(fault == nil && again.count == 1, "what was written can be read: \(value.yaml): \(fault.map { "\($0)" } ?? "")")
        require(again.first?.plain == value, "YAML gives the value back: \(value.yaml)")
    }
}
