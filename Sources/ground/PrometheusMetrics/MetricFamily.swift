/// What all samples of one name have in common.
public struct MetricFamily: Hashable, Sendable {
    /// As the text format writes it.
    public enum Kind: String, Sendable {
        case counter
        case gauge
        case histogram
    }

    public let kind: Kind
    /// With the unit last, `_total` after it for a counter.
    public let name: String
    /// One sentence for people.
    public let help: String
    /// Names of the labels, in the order in which a sample gives their values.
    public let labels: [String]

    public init(_ kind: Kind, _ name: String, labels: [String] = [], help: String) {
        self.kind = kind
        self.name = name
        self.help = help
        self.labels = labels
    }

    /// Why Prometheus would not take it; nil when it would.
    var problem: MetricError? {
        guard isName(name, colons: true) else { return .badName(name) }
        for (index, label) in labels.enumerated() {
            // `__` is Prometheus' own, `le` the histograms'.
            guard isName(label, colons: false), !label.hasPrefix("__"), label != "le", !labels[..<index].contains(label) else {
                return .badLabel(label, of: name)
            }
        }
        return nil
    }

    /// The names of the lines that it is written as.
    var lineNames: [String] {
        kind == .histogram ? [name, name + "_bucket", name + "_sum", name + "_count"] : [name]
    }
}

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`: https://prometheus.io/docs/concepts/data_model/
private func isName(_ text: String, colons: Bool) -> Bool {
    guard let first = text.utf8.first, !(UInt8(ascii: "0")...UInt8(ascii: "9")).contains(first) else { return false }
    return text.utf8.allSatisfy { byte in
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"): true
        case UInt8(ascii: ":"): colons
        default: false
        }
    }
}

/// One measurement of a family.
public struct Sample: Hashable, Sendable {
    public enum Value: Hashable, Sendable {
        case number(Double)
        case histogram(Distribution)
    }

    /// As many as the family has labels; any text.
    public var labels: [String]
    public var value: Value

    public init(_ value: Value, labels: [String] = []) {
        self.labels = labels
        self.value = value
    }

    public init(_ number: some BinaryInteger, labels: [String] = []) { self.init(.number(Double(number)), labels: labels) }
    public init(_ number: Double, labels: [String] = []) { self.init(.number(number), labels: labels) }
    public init(_ truth: Bool, labels: [String] = []) { self.init(.number(truth ? 1 : 0), labels: labels) }
}

/// A mistake in a program's list of metrics.
public enum MetricError: Error, Hashable, Sendable, CustomStringConvertible {
    case duplicate(String)
    case badName(String)
    case badLabel(String, of: String)

    public var description: String {
        switch self {
        case .duplicate(let name): "the metric \(name) is registered twice; give one of the two another name"
        case .badName(let name): "\"\(name)\" cannot be a metric's name: letters, digits, _ and : only, no digit first"
        case .badLabel(let label, let name):
            "\"\(label)\" cannot be a label of \(name): letters, digits and _ only, no digit or __ first, not le, each once"
        }
    }
}
