/// What befalls the text of a key or certificate on its way into a manifest, as far as its outside tells.
public enum PEMDamage: Hashable, Sendable, CustomStringConvertible {
    /// All lines have become one, as YAML's `>` and a text without `|` make of them.
    case folded
    /// Its line ends are the two characters `\n`.
    case escapedLineEnds
    /// It is the base64 of a PEM text.
    case encodedTwice
    case utf16

    /// - Returns: nil where none of these shows.
    public init?(of text: UnsafeRawBufferPointer) {
        let start = text.prefix(2)
        if start.elementsEqual([0xFF, 0xFE]) || start.elementsEqual([0xFE, 0xFF]) {
            self = .utf16
            return
        }
        let words = text.drop { $0 == 0x20 || $0 == 0x09 || $0 == 0x0A || $0 == 0x0D }
        // The base64 of "-----BEGIN".
        if words.starts(with: "LS0tLS1CRUdJTi".utf8) {
            self = .encodedTwice
            return
        }
        guard let begin = words.range(of: "-----BEGIN ".utf8) else { return nil }
        let line = words[begin.upperBound...].prefix { $0 != 0x0A && $0 != 0x0D }
        guard let dashes = line.range(of: "-----".utf8) else { return nil }
        let rest = line[dashes.upperBound...]
        if rest.starts(with: "\\n".utf8) || rest.starts(with: "\\r".utf8) {
            self = .escapedLineEnds
        } else if rest.range(of: "-----END ".utf8) != nil {
            self = .folded
        } else {
            return nil
        }
    }

    /// What is wrong, and what to do: goes on a sentence that names the text.
    public var description: String {
        switch self {
        case .folded: "its lines are folded into one; in YAML write | after its name, not > and not the text alone"
        case .escapedLineEnds:
            "its line ends are written out as \\n; in YAML write | after its name, and each line on one of its own"
        case .encodedTwice:
            "it is base64 twice; in a Secret the text itself stands under stringData, or its base64 once under data"
        case .utf16: "it is UTF-16 text; save it as UTF-8 or ASCII"
        }
    }
}
