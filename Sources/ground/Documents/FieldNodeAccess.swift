/// Reading what the API server wrote: absent, null and of another type all give nil.
extension FieldNode {
    public subscript(name: String) -> FieldNode? {
        guard case .mapping(let entries) = content else { return nil }
        return entries.first { $0.key == name }?.value
    }

    public var text: String? { if case .string(let value) = content { value } else { nil } }
    // Inlined, these two crash the optimizer of Swift 6.3.1 (CopyPropagation: "Found outside of lifetime use").
    @inline(never) public var integer: Int64? { if case .integer(let value) = content { value } else { nil } }
    @inline(never) public var bool: Bool? { if case .bool(let value) = content { value } else { nil } }
    public var items: [FieldNode]? { if case .sequence(let values) = content { values } else { nil } }
    public var entries: [FieldEntry]? { if case .mapping(let entries) = content { entries } else { nil } }

    /// A mapping of texts, as labels are; anything else in it is passed over.
    public var texts: [String: String] {
        var result: [String: String] = [:]
        for entry in entries ?? [] { result[entry.key] = entry.value.text }
        return result
    }
}
