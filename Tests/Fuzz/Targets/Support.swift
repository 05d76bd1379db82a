import Documents
import EdgeAPI
import Fixtures
import Glibc
import JSON
import NetworkTypes
import Sodium

/// A property that holds for every input; libFuzzer keeps the input for which it does not.
func require(_ holds: Bool, _ property: @autoclosure () -> String, line: Int = #line) {
    guard holds else { fatalError("line \(line): \(property())") }
}

/// The value, whose absence would be a property broken.
func required<Value, Failure: Error>(
    _ property: @autoclosure () -> String, line: Int = #line, _ body: () throws(Failure) -> Value?
) -> Value {
    do throws(Failure) {
        if let value = try body() { return value }
    } catch {
        fatalError("line \(line): \(property()): \(error)")
    }
    fatalError("line \(line): \(property())")
}

func environment(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }

/// Half of the input that a target gets in two: before the first byte 0xFF, which stands in no UTF-8, and after it.
func halves(_ input: [UInt8]) -> ([UInt8], [UInt8]) {
    guard let cut = input.firstIndex(of: 0xFF) else { return (input, []) }
    return (Array(input[..<cut]), Array(input[(cut + 1)...]))
}

/// As text, if it is UTF-8.
func text(_ input: [UInt8]) -> String? { String(validating: input, as: UTF8.self) }

/// A text that people or logs see: nothing in it forges a line or steers a terminal.
func requirePrintable(_ text: String, line: Int = #line) {
    require(!text.unicodeScalars.contains { $0.properties.generalCategory == .control }, "not printable: \(text)", line: line)
}

extension FieldNode {
    /// The value without its places; of a key that stands twice, the first.
    var plain: FieldValue {
        switch content {
        case .null: .null
        case .bool(let value): .bool(value)
        case .integer(let value): .integer(value)
        case .number(let value): .number(value)
        case .string(let value): .string(value)
        case .sequence(let nodes): .array(nodes.map(\.plain))
        case .mapping(let entries):
            .object(FieldMembers(entries.reversed().map { (key: $0.key, value: $0.value.plain) }))
        }
    }

    var depth: Int {
        switch content {
        case .sequence(let nodes): 1 + (nodes.map(\.depth).max() ?? 0)
        case .mapping(let entries): 1 + (entries.map(\.value.depth).max() ?? 0)
        default: 0
        }
    }

    /// Bytes, as it is written.
    var longestKey: Int {
        switch content {
        case .sequence(let nodes): nodes.map(\.longestKey).max() ?? 0
        case .mapping(let entries): entries.map { max(quotedJSON($0.key).utf8.count, $0.value.longestKey) }.max() ?? 0
        default: 0
        }
    }
}
