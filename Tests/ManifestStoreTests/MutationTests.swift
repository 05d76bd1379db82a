import Documents
import EdgeAPI
import Glibc
import ManifestStore
import TestFiles
import Testing
import YAML

/// A generator that gives the same numbers in every run (SplitMix64).
private struct Repeatable: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var word = state
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}

@Suite struct MutationTests {
    /// What YAML's scanner cares about.
    private static let pieces: [String] = [
        "&a ", "*a", "<<: *a", "? ", ": ", "- ", "[", "]", "{", "}", "!!str ", "!x ", "|", ">-", "\t", "#", "---\n", "...\n", "%",
        "'", "\"", "\\", "\n", "  ", "\0", "\u{FEFF}", "\u{85}", "~",
    ]

    /// Whatever becomes of a text, reading it ends, with manifests or with problems that fit on one line.
    @Test(arguments: ["tls.yaml", "edgenode.yaml", "syntax.yaml"]) func bentTexts(name: String) throws {
        let folder = "\(#filePath)".split(separator: "/").dropLast().map { "/\($0)" }.joined()
        let whole = Array(try #require(TemporaryFolder.read(from: "\(folder)/Corpus/\(name)")).utf8)
        #expect(readYAML(whole).problem == nil)
        var random = Repeatable(state: 3)
        var broken = 0
        var unprintable: [String] = []
        for _ in 0..<700 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.removeSubrange(index..<min(bytes.count, index + 30))
                case 2: bytes.replaceSubrange(index..<index, with: bytes[index..<min(bytes.count, index + 40)])
                default: bytes.insert(contentsOf: (Self.pieces.randomElement(using: &random) ?? "").utf8, at: index)
                }
            }
            let file = ManifestFile(bytes: bytes, name: "x.yaml")
            if file.hasErrors { broken += 1 }
            unprintable += file.problems.filter { $0.description.utf8.contains { $0 < 0x20 } }.map(\.path)
        }
        #expect(unprintable == [])
        #expect(broken > 200)
    }
}
