public import JSON
import NetworkTypes

/// A mapping while it is decoded. It remembers which fields were asked for: all others are unknown ones.
public final class FieldMapping {
    public let field: Field
    private var values: [String: FieldNode] = [:]
    private let entries: [FieldEntry]
    private var known: Set<String> = []

    fileprivate init(_ field: Field, entries: [FieldEntry]) {
        self.field = field
        self.entries = entries
        for entry in entries where values.updateValue(entry.value, forKey: entry.key) != nil {
            field.log.add(
                "is written more than once; keep one of them", path: .field(field.path, printable(entry.key)),
                position: entry.keyPosition)
        }
    }

    /// The field of that name, which is from now on a known one.
    public subscript(name: String) -> Field { child(name, isSecret: field.isSecret) }

    /// The same, for one whose value may be shown though the mapping's others may not.
    public func shown(_ name: String) -> Field { child(name, isSecret: false) }

    private func child(_ name: String, isSecret: Bool) -> Field {
        known.insert(name)
        return Field(
            values[name], path: .field(field.path, name), position: field.position, log: field.log, isSecret: isSecret)
    }

    /// Marks fields as known that are not read.
    public func pass(_ names: String...) { known.formUnion(names) }

    /// Reports the fields that nobody asked for.
    public func finish() {
        guard field.log.unknownFields == .refused else { return }
        let known = self.known.sorted()
        for entry in entries where !self.known.contains(entry.key) {
            guard !field.log.isFull else {
                field.log.add("unknown field", path: field.path, position: entry.keyPosition)
                continue
            }
            let hint =
                nearestName(to: entry.key, among: known).map { "did you mean \"\($0)\"?" }
                ?? "the fields here are \(known.joined(separator: ", "))"
            field.log.add(
                "unknown field; \(hint)", path: .field(field.path, printable(entry.key)), position: entry.keyPosition)
        }
    }
}

extension Field {
    public func mapping(_ expected: String = "a mapping") -> FieldMapping? {
        guard let node else { return nil }
        guard case .mapping(let entries) = node.content else {
            fail("expected \(expected), given \(shortGiven(node))")
            return nil
        }
        return FieldMapping(self, entries: entries)
    }

    public func sequence(_ expected: String = "a list") -> [Field]? {
        guard let node else { return nil }
        guard case .sequence(let nodes) = node.content else {
            fail("expected \(expected), given \(shortGiven(node))")
            return nil
        }
        return nodes.enumerated().map { index, node in
            let item = Field(
                node, path: .index(path, index), position: node.position ?? position, log: log, isSecret: isSecret)
            if !item.isPresent { item.fail("is empty; fill it in or remove it") }
            return item
        }
    }

    /// The first field of that name in a mapping; for a look before the mapping is read.
    public func peek(_ name: String) -> Field {
        var value: FieldNode?
        if case .mapping(let entries)? = node?.content { value = entries.first { $0.key == name }?.value }
        return Field(value, path: .field(path, name), position: position, log: log, isSecret: isSecret)
    }

    private func shortGiven(_ node: FieldNode) -> String {
        switch node.content {
        case .null: "nothing"
        case .sequence: "a list"
        case .mapping: "a mapping"
        case .string(let text) where !isSecret: "the text \"\(printable(text))\""
        default: "a single value"
        }
    }

    /// The entries of a mapping from names to values, each as a field.
    public func entries(_ expected: String) -> [(key: String, field: Field)]? {
        guard let node else { return nil }
        guard case .mapping(let entries) = node.content else {
            fail("expected \(expected), given \(shortGiven(node))")
            return nil
        }
        var seen: Set<String> = []
        return entries.map { entry in
            let field = Field(
                entry.value, path: .key(path, entry.key), position: entry.keyPosition ?? position, log: log, isSecret: isSecret)
            if !seen.insert(entry.key).inserted { field.fail("is written more than once; keep one of them") }
            return (entry.key, field)
        }
    }

    /// A mapping from texts to texts, as labels are.
    public func strings(_ check: (_ key: String, _ value: String) -> String?) -> [String: String]? {
        guard let entries = entries("a mapping of texts") else { return nil }
        var result: [String: String] = [:]
        for (key, field) in entries {
            let value: String
            if field.isPresent {
                guard let text = field.string() else { continue }
                value = text
            } else {
                value = ""
            }
            if let reason = check(key, value) { field.fail(isSecret ? "is no valid key or value" : reason) }
            result[key] = value
        }
        return result
    }

    /// A mapping as it is, for parts of core/v1 that are passed on.
    /// - Parameter most: values in it, those of what is in it too.
    public func mappingValue(most: Int) -> FieldValue? {
        guard let node else { return nil }
        guard case .mapping = node.content else {
            fail("expected a mapping, given \(shortGiven(node))")
            return nil
        }
        guard node.valueCount(upTo: most) <= most else {
            fail("holds more than \(most) values; leave most of them out")
            return nil
        }
        return value()
    }

    /// The value as it is.
    public func value() -> FieldValue? {
        guard let node else { return nil }
        switch node.content {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .integer(let value): return .integer(value)
        case .number(let value): return .number(value)
        case .string(let value): return .string(value)
        case .sequence:
            return .array((sequence() ?? []).map { $0.value() ?? .null })
        case .mapping:
            let entries = entries("a mapping") ?? []
            return .object(FieldMembers(entries.map { (key: $0.key, value: $0.field.value() ?? .null) }))
        }
    }
}

extension FieldNode {
    /// Itself and all that is in it; counted no further than one beyond `most`.
    fileprivate func valueCount(upTo most: Int) -> Int {
        let inner: [FieldNode]
        switch content {
        case .sequence(let nodes): inner = nodes
        case .mapping(let entries): inner = entries.map(\.value)
        default: return 1
        }
        var count = 1
        for node in inner {
            if count > most { break }
            count += node.valueCount(upTo: most - count)
        }
        return count
    }
}
