import Documents
import EdgeAPI
import Glibc
import Testing

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

/// Values that have no business where they are put.
private let oddities: [FieldNode.Content] = [
    .null, .bool(true), .integer(-1), .integer(Int64.max), .integer(Int64.min), .number(1e308), .number(-0.5), .string(""),
    .string("$(reboot)"), .string("../../etc/passwd"), .string("a\nb"), .string("a\0b"), .string("::1"), .string("-1h"),
    .string(String(repeating: "9", count: 400) + "h"), .string(String(repeating: "a", count: 5000)), .string("é😀\u{202E}"),
    .sequence([]), .mapping([]), .sequence([FieldNode(.null)]),
    .mapping([FieldEntry(key: "", value: FieldNode(.null)), FieldEntry(key: "", value: FieldNode(.null))]),
]

extension FieldNode {
    /// This tree with one node, picked at random, put out of order.
    fileprivate func mutated(_ random: inout Repeatable) -> FieldNode {
        var node = self
        switch content {
        case .sequence(var items) where !items.isEmpty && Int.random(in: 0..<6, using: &random) > 0:
            let index = Int.random(in: items.indices, using: &random)
            switch Int.random(in: 0..<8, using: &random) {
            case 0: items.append(items[index])
            case 1: items.remove(at: index)
            default: items[index] = items[index].mutated(&random)
            }
            node.content = .sequence(items)
        case .mapping(var entries) where !entries.isEmpty && Int.random(in: 0..<6, using: &random) > 0:
            let index = Int.random(in: entries.indices, using: &random)
            switch Int.random(in: 0..<10, using: &random) {
            case 0: entries.append(entries[index])
            case 1: entries.remove(at: index)
            case 2: entries[index].key += "x"
            default: entries[index].value = entries[index].value.mutated(&random)
            }
            node.content = .mapping(entries)
        default:
            node.content = oddities[Int.random(in: oddities.indices, using: &random)]
        }
        return node
    }
}

@Suite struct MutationTests {
    private static let corpus = ["edgenode.json", "list.json"]

    private func seed(_ name: String) throws -> [UInt8] {
        let folder = "\(#filePath)".split(separator: "/").dropLast().map { "/\($0)" }.joined()
        let descriptor = open("\(folder)/Corpus/\(name)", O_RDONLY)
        try #require(descriptor >= 0)
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 65536)
        let count = read(descriptor, &bytes, bytes.count)
        return Array(bytes.prefix(max(0, count)))
    }

    /// Whatever a tree is bent into, decoding ends with objects or with problems, never with neither and never in a trap.
    @Test(arguments: corpus) func bentTrees(name: String) throws {
        let whole = try FieldNode(json: try seed(name))
        let count = Manifest.decode(whole).manifests.count
        var random = Repeatable(state: 1)
        var unprintable: [String] = []
        var silent = 0
        for _ in 0..<1000 {
            var node = whole
            for _ in 0..<Int.random(in: 1...3, using: &random) { node = node.mutated(&random) }
            let (manifests, problems) = Manifest.decode(node)
            unprintable += problems.filter { $0.description.utf8.contains { $0 < 0x20 } }.map(\.path)
            if problems.isEmpty, count == 1, node.content != .null, manifests.count != 1 { silent += 1 }
        }
        #expect(unprintable == [])
        #expect(silent == 0)
    }

    /// Whatever bytes become of a text, reading it ends with a tree or with a problem.
    @Test(arguments: corpus) func bentBytes(name: String) throws {
        let whole = try seed(name)
        var random = Repeatable(state: 2)
        var refused = 0
        for _ in 0..<1000 {
            var bytes = whole
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let index = Int.random(in: bytes.indices, using: &random)
                switch Int.random(in: 0..<4, using: &random) {
                case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
                case 1: bytes.remove(at: index)
                case 2: bytes.insert(Array("{}[],:\"\\u0".utf8).randomElement(using: &random) ?? 0, at: index)
                default: bytes.removeSubrange(index..<min(bytes.count, index + 20))
                }
            }
            do throws(SyntaxProblem) {
                _ = Manifest.decode(try FieldNode(json: bytes))
            } catch {
                refused += 1
            }
        }
        #expect(refused > 200)
    }
}
