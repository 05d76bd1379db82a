import Documents
public import JSON

extension FieldValue {
    /// YAML as `kubectl get -o yaml` lays it out: keys sorted, lists at their key's indentation. Equal values give equal bytes.
    public var yaml: String {
        switch self {
        case .object(let entries) where !entries.isEmpty: lines(of: entries, indent: "").joined(separator: "\n") + "\n"
        case .array(let items) where !items.isEmpty: lines(of: items, indent: "").joined(separator: "\n") + "\n"
        default: inline + "\n"
        }
    }

    private func lines(of entries: FieldMembers, indent: String) -> [String] {
        entries.flatMap { key, value -> [String] in
            let key = indent + scalar(key)
            switch value {
            case .object(let inner) where !inner.isEmpty: return ["\(key):"] + lines(of: inner, indent: indent + "  ")
            case .array(let inner) where !inner.isEmpty: return ["\(key):"] + lines(of: inner, indent: indent)
            default: return ["\(key): \(value.inline)"]
            }
        }
    }

    private func lines(of items: [FieldValue], indent: String) -> [String] {
        items.flatMap { item -> [String] in
            let inner =
                switch item {
                case .object(let entries) where !entries.isEmpty: lines(of: entries, indent: indent + "  ")
                case .array(let items) where !items.isEmpty: lines(of: items, indent: indent + "  ")
                default: [indent + "  " + item.inline]
                }
            guard let first = inner.first else { return [] }
            return ["\(indent)- \(first.dropFirst(indent.utf8.count + 2))"] + inner.dropFirst()
        }
    }

    private var inline: String {
        if case .string(let text) = self { scalar(text) } else { json }
    }

    /// Bare where every reader of YAML takes it for this text, else in double quotes.
    private func scalar(_ text: String) -> String {
        guard let first = text.utf8.first, let last = text.utf8.last, isLetter(first), last != 0x20 else {
            return quotedJSON(text)
        }
        let isBare = text.utf8.allSatisfy { isLetter($0) || ($0 >= 0x30 && $0 <= 0x39) || " ._/=+(),-".utf8.contains($0) }
        guard isBare, resolveScalar(text, isPlain: true) == .string(text), !["y", "Y", "n", "N"].contains(text) else {
            return quotedJSON(text)
        }
        return text
    }

    private func isLetter(_ byte: UInt8) -> Bool { (byte >= 0x61 && byte <= 0x7A) || (byte >= 0x41 && byte <= 0x5A) }
}
