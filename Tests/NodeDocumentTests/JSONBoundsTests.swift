import NodeDocument
import Testing

@Suite struct JSONBoundsTests {
    private let bounds = JSONBounds(bytes: 100, values: 8, textBytes: 10, depth: 3)

    @Test(arguments: ["[]", #"{"a":[1,2,{}]}"#, #"["0123456789"]"#, #"["\",\",\""]"#, "nonsense", ""]) func passes(json: String) {
        #expect(bounds.excess(in: Array(json.utf8)) == nil)
    }

    @Test(arguments: [
        (String(repeating: " ", count: 101), "101 bytes"), ("[1,2,3,4,5,6,7,8,9]", "more than 8 values"),
        ("[[[[]]]]", "4 levels"),
        (#"["01234567891"]"#, "a text of more than 10 bytes"),
        (String(repeating: "1", count: 41), "a number of more than 40 digits"),
    ])
    func namesWhatIsTooMuch(json: String, excess: String) {
        #expect(bounds.excess(in: Array(json.utf8)) == excess)
        // Not contiguous, and a slice.
        #expect(bounds.excess(in: Array(json.utf8).lazy.map { $0 }) == excess)
        let error = #expect(throws: DocumentError.self) {
            try DocumentJSON.decode([Int].self, from: Array(json.utf8), within: bounds)
        }
        #expect(error?.message == "more than it may hold: \(excess)")
    }

    @Test func decodesWhatIsWithin() throws {
        #expect(try DocumentJSON.decode([Int].self, from: Array("[1,2]".utf8), within: bounds) == [1, 2])
    }
}
