import Documents
import JSON
import Testing

private func parse(_ text: String) throws(SyntaxProblem) -> FieldNode { try FieldNode(json: Array(text.utf8)) }

@Suite struct JSONReaderTests {
    @Test func valuesAndTheirPlaces() throws {
        let node = try parse("{\n  \"a\": [1, -2.5, true],\n  \"b\": null}")
        guard case .mapping(let entries) = node.content else {
            Issue.record("no mapping")
            return
        }
        #expect(entries.map(\.key) == ["a", "b"])
        #expect(entries[0].keyPosition == TextPosition(line: 2, column: 3))
        #expect(
            entries[0].value
                == FieldNode(
                    .sequence([
                        FieldNode(.integer(1), position: TextPosition(line: 2, column: 9)),
                        FieldNode(.number(-2.5), position: TextPosition(line: 2, column: 12)),
                        FieldNode(.bool(true), position: TextPosition(line: 2, column: 18)),
                    ]), position: TextPosition(line: 2, column: 8)))
        #expect(entries[1].value.content == .null)
    }

    @Test(arguments: [
        (#""a\"\\\/\b\f\n\r\t""#, "a\"\\/\u{8}\u{C}\n\r\t"), (#""\u00e9\ud83d\ude00""#, "é😀"), (#""é😀""#, "é😀"),
    ])
    func escapes(text: String, expected: String) throws {
        #expect(try parse(text).content == .string(expected))
    }

    @Test(arguments: [
        ("9223372036854775807", FieldNode.Content.integer(Int64.max)),
        ("9223372036854775808", .number(9_223_372_036_854_775_808)),
        ("0", .integer(0)), ("-0.5e+2", .number(-50)), ("1E2", .number(100)),
    ])
    func numbers(text: String, expected: FieldNode.Content) throws {
        #expect(try parse(text).content == expected)
    }

    @Test(arguments: [
        "", " ", "{", "[1,]", "{\"a\":1,}", "{a:1}", "{\"a\" 1}", "01", "1.", ".5", "+1", "1e", "nul", "tru", "\"a", "\"\\x\"",
        "\"\\ud800\"", "\"\\ud83d\\u0041\"", "\"\\u12g4\"", "\"\n\"", "1 2", "'a'", "\"\\u0000\"", "1e999", "\u{FEFF}",
    ])
    func whatIsNoJSON(text: String) {
        #expect(throws: SyntaxProblem.self) { try parse(text) }
    }

    @Test func textsMustBeUTF8() {
        #expect(throws: SyntaxProblem(position: TextPosition(line: 1, column: 1), message: "the text is not UTF-8")) {
            try FieldNode(json: [0x22, 0xFF, 0x22])
        }
    }

    @Test func problemsNameTheirPlace() {
        #expect(throws: SyntaxProblem(position: TextPosition(line: 3, column: 1), message: "expected , or }")) {
            try parse("{\n\"a\": 1\n\"b\": 2}")
        }
    }

    @Test func depthAndLengthAreBounded() {
        #expect(throws: SyntaxProblem.self) { try parse(String(repeating: "[", count: 100_000)) }
        #expect(throws: Never.self) { try parse(String(repeating: "[", count: 64) + String(repeating: "]", count: 64)) }
        #expect(throws: SyntaxProblem.self) { try parse("\"" + String(repeating: "a", count: 1 << 20) + "\"") }
    }
}

@Suite struct JSONWriterTests {
    @Test func keysAreSortedAndTextsEscaped() {
        let value = FieldValue.object([
            "b": .array([.integer(1), .number(1.5), .null, .bool(false)]), "a": .string("\"\\\n\u{1}\u{2028}é"),
        ])
        #expect(value.json == "{\"a\":\"\\\"\\\\\\n\\u0001\\u2028é\",\"b\":[1,1.5,null,false]}")
        // Nobody reads a NUL back, and one in a status would make the whole of it unreadable.
        #expect(FieldValue.string("a\u{0}b\u{FFFF}").json == "\"a\\ufffdb\\uffff\"")
    }

    @Test func keysAreSortedAndAbsentMembersLeftOut() {
        let value: FieldValue = .fields(["b": 1, "a": [true, "x"], "@type": "t", "c": nil, "d": [:]])
        #expect(value.json == #"{"@type":"t","a":[true,"x"],"b":1,"d":{}}"#)
    }

    @Test func textCannotLeaveItsString() {
        #expect(FieldValue.string("\"\\\n\u{0}\u{7F}é").json == "\"\\\"\\\\\\n\\ufffd\\u007fé\"")
    }

    @Test func whatIsWrittenReadsBackTheSame() throws {
        let value = FieldValue.object([
            "y": .null, "z": .bool(true), "n": .integer(1), "d": .number(0.5),
            "x": .array([.object([:]), .array([]), .string("\u{7F}\u{0}😀".filter { $0 != "\u{0}" })]),
        ])
        #expect(try FieldNode(json: Array(value.json.utf8)).withoutPlaces == FieldNode(value: value))
    }
}

extension FieldNode {
    fileprivate var withoutPlaces: FieldNode {
        switch content {
        case .sequence(let nodes): FieldNode(.sequence(nodes.map(\.withoutPlaces)))
        case .mapping(let entries):
            FieldNode(.mapping(entries.map { FieldEntry(key: $0.key, value: $0.value.withoutPlaces) }))
        default: FieldNode(content)
        }
    }
}
