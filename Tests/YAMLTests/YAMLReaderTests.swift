import Documents
import Testing
import YAML

private func read(_ text: String) -> (documents: [FieldNode], problem: SyntaxProblem?) { readYAML(Array(text.utf8)) }

/// The one value of `key` in a one-line mapping.
private func value(_ text: String) throws -> FieldNode.Content {
    let (documents, problem) = read("key: \(text)\n")
    #expect(problem == nil)
    guard case .mapping(let entries)? = documents.first?.content else {
        Issue.record("no mapping")
        return .null
    }
    return try #require(entries.first).value.content
}

@Suite struct YAMLReaderTests {
    @Test(arguments: [
        ("text", FieldNode.Content.string("text")), ("'80'", .string("80")), ("80", .integer(80)), ("-5", .integer(-5)),
        ("+5", .integer(5)), ("1.5", .number(1.5)), ("1e3", .number(1000)), ("true", .bool(true)), ("yes", .bool(true)),
        ("Off", .bool(false)), ("\"yes\"", .string("yes")), ("null", .null), ("~", .null), ("", .null), ("y", .string("y")),
        ("0644", .string("0644")), ("0x1F", .string("0x1F")), ("1_000", .string("1_000")), ("10.0.0.1", .string("10.0.0.1")),
        ("12:30:00", .string("12:30:00")), ("2026-01-02", .string("2026-01-02")), (".inf", .string(".inf")),
        ("1e999", .string("1e999")), ("99999999999999999999", .number(1e20)), ("!!str 80", .string("80")),
        ("!!int '80'", .integer(80)), ("\"a\\nb\\u00e9\"", .string("a\nbé")), ("0", .integer(0)),
    ])
    func scalars(text: String, expected: FieldNode.Content) throws {
        #expect(try value(text) == expected)
    }

    @Test func placesAreThoseOfTheText() {
        let (documents, problem) = read("# comment\na:\n  - b: 1\n---\nc: d\n")
        #expect(problem == nil)
        #expect(documents.count == 2)
        guard case .mapping(let outer) = documents[0].content, case .sequence(let items) = outer[0].value.content,
            case .mapping(let inner) = items[0].content
        else {
            Issue.record("another shape: \(documents)")
            return
        }
        #expect(outer[0].keyPosition == TextPosition(line: 2, column: 1))
        #expect(inner[0].keyPosition == TextPosition(line: 3, column: 5))
        #expect(inner[0].value.position == TextPosition(line: 3, column: 8))
        #expect(documents[1].position == TextPosition(line: 5, column: 1))
    }

    @Test func documentsBeforeABrokenOneAreRead() {
        let (documents, problem) = read("a: 1\n---\nb: [1\n---\n")
        #expect(documents.count == 1)
        #expect(problem?.position?.line == 4)
    }

    @Test func aliasesAndMergeKeysAreFollowed() throws {
        let (documents, problem) = read("x: &x {a: 1, b: 2}\ny: *x\nz:\n  <<: *x\n  b: 3\n")
        #expect(problem == nil)
        guard case .mapping(let entries)? = documents.first?.content, case .mapping(let z) = entries[2].value.content else {
            Issue.record("no mapping")
            return
        }
        #expect(entries[1].value.content == entries[0].value.content)
        #expect(entries[1].value.position == TextPosition(line: 2, column: 4))
        #expect(z.map(\.key) == ["b", "a"])
        #expect(z.map(\.value.content) == [.integer(3), .integer(1)])
    }

    @Test func anchorsEndWithTheirDocument() {
        #expect(read("a: &x 1\n---\nb: *x\n").problem?.position == TextPosition(line: 3, column: 4))
    }

    @Test(arguments: [
        ("a: [1", "did not find expected ',' or ']'"), ("a: b: c", "mapping values are not allowed"),
        ("a:\n\t- b", "not with a tab"), ("a: *nothing", "alias (*) without its anchor"), ("a: !foo b", "YAML tag"),
        ("? [a]\n: b", "a key must be a single text"), ("a: !!binary eA==", "YAML tag"), ("<<: 5", "<< wants a mapping"),
        ("a: &a {b: 1}\nc: {<<: [*a, 5, *a]}", "<< wants a mapping"),
        ("a: \"\\0\"", "NUL"), ("a: &a [*a]", "alias (*) without its anchor"), ("}", "did not find expected node content"),
    ])
    func whatIsNoYAML(text: String, reason: String) throws {
        let problem = try #require(read(text).problem)
        #expect(problem.message.contains(reason))
        #expect(problem.position != nil)
    }

    @Test func bytesThatAreNoTextAreToldWithTheirPlace() throws {
        let problem = try #require(readYAML(Array("a: b\nc: ".utf8) + [0xFF, 0x0A]).problem)
        #expect(problem.position == TextPosition(line: 2, column: 4))
        let zero = try #require(readYAML(Array("a: b\nc: ".utf8) + [0x00, 0x0A]).problem)
        #expect(zero.position?.line == 2)
        #expect(readYAML([0xFF, 0xFE, 0x61, 0x00]).problem != nil)
    }

    @Test func aByteOrderMarkIsPassedOver() {
        #expect(readYAML([0xEF, 0xBB, 0xBF] + Array("a: 1\n".utf8)).problem == nil)
    }

    @Test func bombsAreRefused() throws {
        var values = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
        for level in 1...9 {
            let aliases = [String](repeating: "*a\(level - 1)", count: 10).joined(separator: ", ")
            values += "a\(level): &a\(level) [\(aliases)]\n"
        }
        #expect(try #require(read(values).problem).message.contains("YAML bomb"))
        // As a key, where a reader that hashes keys would unfold it.
        let keys = values.replacing("a5: &a5 [", with: "? &a5 [").replacing("]\na6", with: "]\n: x\na6")
        #expect(read(keys).problem != nil)
        let merges = "a: &a {b: 1}\n" + "c: {<<: [" + String(repeating: "*a, ", count: 200_000) + "*a]}\n"
        #expect(try #require(read(merges).problem).message.contains("YAML bomb"))
    }

    @Test func depthAndLengthAreBounded() {
        #expect(read(String(repeating: "[", count: 100_000)).problem != nil)
        #expect(read("- " + String(repeating: "- ", count: 100_000)).problem?.message.contains("nested deeper") == true)
        #expect(
            read("a: &a [[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]\n" + chain(of: 5)).problem?.message.contains("nested") == true
        )
        #expect(read("a: \"" + String(repeating: "a", count: 1 << 20) + "\"").problem?.message.contains("longer than") == true)
        #expect(read(String(repeating: "%TAG !a! tag:x\n", count: 2000)).problem?.message.contains("begin with %") == true)
        let manyDocuments = String(repeating: "a: \"" + String(repeating: "a", count: 1 << 18) + "\"\n---\n", count: 8)
        #expect(read(manyDocuments).problem == nil)
    }

    /// Anchors that each hold the one before, 15 levels deeper.
    private func chain(of count: Int) -> String {
        let names = Array("abcdefgh").prefix(count + 1)
        return zip(names, names.dropFirst()).map { "\($1): &\($1) [[[[[[[[[[[[[[[*\($0)]]]]]]]]]]]]]]]\n" }.joined()
    }
}
