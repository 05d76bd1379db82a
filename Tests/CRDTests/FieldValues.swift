import Documents
import EdgeAPI
import Glibc
import JSON
import Testing

extension FieldValue {
    init(_ node: FieldNode) {
        switch node.content {
        case .null: self = .null
        case .bool(let value): self = .bool(value)
        case .integer(let value): self = .integer(value)
        case .number(let value): self = .number(value)
        case .string(let value): self = .string(value)
        case .sequence(let items): self = .array(items.map { FieldValue($0) })
        case .mapping(let entries):
            self = .object(FieldMembers(entries.reversed().map { (key: $0.key, value: FieldValue($0.value)) }))
        }
    }

    subscript(name: String) -> FieldValue? { entries[name] }

    var entries: FieldMembers { if case .object(let entries) = self { entries } else { [:] } }
    var items: [FieldValue] { if case .array(let items) = self { items } else { [] } }
    var text: String? { if case .string(let text) = self { text } else { nil } }
    var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
    var texts: [String] { items.compactMap(\.text) }

    /// Its fields by their paths, `[]` for a list's items.
    func paths(stoppingAt leaves: Set<String>, from path: String) -> Set<String> {
        var found: Set<String> = [path]
        if leaves.contains(path) { return found }
        for (name, value) in entries { found.formUnion(value.paths(stoppingAt: leaves, from: "\(path).\(name)")) }
        for item in items { found.formUnion(item.paths(stoppingAt: leaves, from: "\(path)[]")) }
        return found
    }

    /// The first value at a path; of several items, the first that has one.
    func value(at path: Substring) -> FieldValue? {
        let (step, rest) = Self.split(path)
        switch step {
        case "": return self
        case "[]": return items.lazy.compactMap { $0.value(at: rest) }.first
        default: return entries[String(step)].flatMap { $0.value(at: rest) }
        }
    }

    /// With another value at a path that exists; of several items, in the first that has one.
    func replacing(_ path: Substring, with value: FieldValue) -> FieldValue? {
        let (step, rest) = Self.split(path)
        switch step {
        case "": return value
        case "[]":
            var items = items
            for index in items.indices {
                guard let changed = items[index].replacing(rest, with: value) else { continue }
                items[index] = changed
                return .array(items)
            }
            return nil
        default:
            var entries = entries
            guard let changed = entries[String(step)]?.replacing(rest, with: value) else { return nil }
            entries[String(step)] = changed
            return .object(entries)
        }
    }

    /// The first step of a path and what follows it.
    private static func split(_ path: Substring) -> (step: Substring, rest: Substring) {
        let path = path.hasPrefix(".") ? path.dropFirst() : path
        if path.hasPrefix("[]") { return ("[]", path.dropFirst(2)) }
        let step = path.prefix { $0 != "." && $0 != "[" }
        return (step, path.dropFirst(step.count))
    }

    /// With `value` at a path of names and indices, `spec.bindings.0.tcp`; what is missing on the way is made.
    func setting(_ path: ArraySlice<Substring>, to value: FieldValue) throws -> FieldValue {
        guard let step = path.first else { return value }
        if case .array(var items) = self {
            let index = try #require(Int(step))
            try #require(items.indices.contains(index))
            items[index] = try items[index].setting(path.dropFirst(), to: value)
            return .array(items)
        }
        var entries = entries
        entries[String(step)] = try (entries[String(step)] ?? .object([:])).setting(path.dropFirst(), to: value)
        return .object(entries)
    }
}

func fileBytes(_ path: String) throws -> [UInt8] {
    let descriptor = open(path, O_RDONLY)
    try #require(descriptor >= 0, "cannot open \(path)")
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var buffer = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(descriptor, &buffer, buffer.count)
        try #require(count >= 0, "cannot read \(path)")
        if count == 0 { return bytes }
        bytes += buffer[..<count]
    }
}

/// Why Swift refuses an object; empty when it takes it.
func refusals(_ object: FieldValue) -> [String] {
    let node = FieldNode(value: object)
    let problems =
        switch object["kind"]?.text {
        case EdgeNode.kind: EdgeNode.decode(node).problems
        case RemoteService.kind: RemoteService.decode(node).problems
        default: PortBinding.decode(node).problems
        }
    return problems.map { "\($0.path): \($0.message)" }
}
