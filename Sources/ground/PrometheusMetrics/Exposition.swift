/// Prometheus' text format 0.0.4, as it grows:
/// https://prometheus.io/docs/instrumenting/exposition_formats/#text-format-details
public struct Exposition: Sendable {
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

    public private(set) var text = ""

    public init() {}

    /// Adds a family, its samples in the order of their labels. One without samples is left out.
    public mutating func write(_ family: MetricFamily, _ samples: [Sample]) {
        guard !samples.isEmpty else { return }
        text += "# HELP \(family.name) "
        appendEscaped(family.help, quotes: false)
        text += "\n# TYPE \(family.name) \(family.kind.rawValue)\n"
        for sample in samples.sorted(by: { $0.labels.lexicographicallyPrecedes($1.labels) }) {
            switch sample.value {
            case .number(let number): line(family.name, family, sample, number)
            case .histogram(let distribution): lines(family, sample, distribution)
            }
        }
    }

    /// Adds a family of one sample without labels.
    public mutating func write(_ family: MetricFamily, _ number: some BinaryInteger) { write(family, [Sample(number)]) }

    private mutating func lines(_ family: MetricFamily, _ sample: Sample, _ distribution: Distribution) {
        var cumulative: UInt64 = 0
        for (bound, count) in zip(distribution.bounds, distribution.counts) {
            cumulative += count
            line(family.name + "_bucket", family, sample, Double(cumulative), bound: bound)
        }
        line(family.name + "_bucket", family, sample, Double(distribution.count), bound: .infinity)
        line(family.name + "_sum", family, sample, distribution.sum)
        line(family.name + "_count", family, sample, Double(distribution.count))
    }

    private mutating func line(_ name: String, _ family: MetricFamily, _ sample: Sample, _ number: Double, bound: Double? = nil) {
        text += name
        var separator = "{"
        for (label, value) in zip(family.labels, sample.labels) {
            text += "\(separator)\(label)=\""
            appendEscaped(value, quotes: true)
            text += "\""
            separator = ","
        }
        if let bound {
            text += "\(separator)le=\"\(Self.text(of: bound))\""
            separator = ","
        }
        if separator == "," { text += "}" }
        text += " \(Self.text(of: number))\n"
    }

    /// Scalar by scalar: a character may hide a line break (`\r\n` is one), and the format knows only `\n`.
    private mutating func appendEscaped(_ value: String, quotes: Bool) {
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\"" where quotes: text += "\\\""
            default: text.unicodeScalars.append(scalar)
            }
        }
    }

    /// As Go's `ParseFloat` reads it back, whole numbers without a fraction.
    static func text(of number: Double) -> String {
        if number.isNaN { return "NaN" }
        if number.isInfinite { return number < 0 ? "-Inf" : "+Inf" }
        // Whole numbers up to 2^53 are exact.
        if let whole = Int64(exactly: number), whole.magnitude <= 1 << 53 { return "\(whole)" }
        return "\(number)"
    }
}
