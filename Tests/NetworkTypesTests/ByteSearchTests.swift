import NetworkTypes
import Testing

@Suite struct ByteSearchTests {
    @Test(
        arguments: [
            ("", "a", nil), ("a", "", nil), ("abc", "abc", 0), ("abcabc", "bc", 1), ("aaab", "aab", 1), ("ab", "abc", nil),
            ("xab", "b", 2),
        ] as [(String, String, Int?)])
    func findsWhereWordsFirstStand(text: String, words: String, place: Int?) {
        let expected = place.map { $0..<$0 + words.utf8.count }
        #expect(Array(text.utf8).range(of: words.utf8) == expected)
        // A slice has the indices of its whole.
        let slice = (Array("__".utf8) + Array(text.utf8))[2...]
        #expect(slice.range(of: words.utf8) == expected.map { $0.lowerBound + 2..<$0.upperBound + 2 })
        Array(text.utf8).withUnsafeBytes { #expect($0[...].range(of: words.utf8) == expected) }
    }

    @Test(arguments: [
        ("", []), ("a", ["a"]), ("a\n", ["a"]), ("a\r\nb", ["a", "b"]), ("\n\n a \r", [" a "]), ("a\nb\nc", ["a", "b", "c"]),
    ])
    func givesEachLine(text: String, lines: [String]) {
        var found: [String] = []
        Array(text.utf8).forEachLine { found.append(String(decoding: $0, as: UTF8.self)) }
        #expect(found == lines)
    }
}
