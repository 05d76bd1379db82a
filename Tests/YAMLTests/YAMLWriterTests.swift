import Documents
import JSON
import Testing
import YAML

@Suite struct YAMLWriterTests {
    @Test func laidOutAsKubectlDoes() {
        let value = FieldValue.object([
            "kind": .string("EdgeNode"),
            "status": .object([
                "conditions": .array([
                    .object(["type": .string("Ready"), "status": .string("True"), "message": .string("")]),
                    .object(["type": .string("a: b"), "nested": .object(["x": .array([.integer(1), .string("2")])])]),
                ]),
                "empty": .object([:]), "none": .array([]), "null": .null, "rows": .array([.array([.integer(1)])]),
            ]),
        ])
        #expect(
            value.yaml == """
                kind: EdgeNode
                status:
                  conditions:
                  - message: ""
                    status: "True"
                    type: Ready
                  - nested:
                      x:
                      - 1
                      - "2"
                    type: "a: b"
                  empty: {}
                  none: []
                  "null": null
                  rows:
                  - - 1

                """)
    }

    /// Texts that a careless writer would turn into something else.
    @Test(arguments: [
        "", " ", "true", "Yes", "no", "null", "~", "5", "1.5", "1e3", "a: b", "a #b", "#a", "- a", "a\nb", "a\tb", "'", "\"",
        "\\",
        "*a", "&a", "!a", "%a", "@a", "`a", "{a", "[a", "a ", " a", "é😀", "\u{85}", "\u{2028}", "\u{FEFF}",
        "\u{FFFE}\u{FFFF}\u{1FFFF}", "y", "<<", "=", "a:",
        "10.0.0.1:80", "2026-01-02T03:04:05Z", "---", "...", "a---b", "\u{7F}\u{1}", "key: [x]", "?", ":", "|", ">",
    ])
    func textsReadBackTheSame(text: String) throws {
        let value = FieldValue.object([text: .array([.string(text), .object([text: .string(text)])])])
        let (documents, problem) = readYAML(Array(value.yaml.utf8))
        #expect(problem == nil)
        #expect(documents.map(\.value) == [value])
    }
}

extension FieldNode {
    fileprivate var value: FieldValue {
        switch content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .sequence(let nodes): .array(nodes.map(\.value))
        case .mapping(let entries): .object(FieldMembers(entries.reversed().map { (key: $0.key, value: $0.value.value) }))
        }
    }
}
