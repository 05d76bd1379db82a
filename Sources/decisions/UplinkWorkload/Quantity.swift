import JSON

/// An amount as Kubernetes writes it: `500m`, `2`, `512Mi`, `1e3`.
public struct Quantity: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let description: String
    /// Of one; beyond the whole numbers that it holds exactly nobody asks for an amount.
    private let value: Double

    private static let suffixes: [String: Double] = [
        "": 1, "n": 1e-9, "u": 1e-6, "m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12, "P": 1e15, "E": 1e18,
        "Ki": 1024, "Mi": 1_048_576, "Gi": 1_073_741_824, "Ti": 1_099_511_627_776, "Pi": 1_125_899_906_842_624,
        "Ei": 1_152_921_504_606_846_976,
    ]

    /// - Returns: nil for what is none (apimachinery, pkg/api/resource).
    public init?(_ text: String) {
        let number = text.prefix { $0.isASCII && $0.isNumber || $0 == "." || $0 == "+" || $0 == "-" }
        let suffix = text.dropFirst(number.count)
        var factor = Self.suffixes[String(suffix)]
        if factor == nil, suffix.first == "e" || suffix.first == "E", let power = Double("1e\(suffix.dropFirst())") {
            factor = power
        }
        guard !number.isEmpty, let amount = Double(number), let factor else { return nil }
        value = amount * factor
        description = text
    }

    /// A number stands for itself.
    init?(_ field: FieldValue) {
        switch field {
        case .string(let text): self.init(text)
        case .integer(let number): self.init("\(number)")
        case .number(let number): self.init("\(number)")
        default: return nil
        }
    }

    public static func == (a: Self, b: Self) -> Bool { a.value == b.value }
    public static func < (a: Self, b: Self) -> Bool { a.value < b.value }
    public func hash(into hasher: inout Hasher) { hasher.combine(value) }
}
