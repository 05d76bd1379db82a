/// A length of time written as Go writes it, `1h30m` or `500ms`, with fractions kept to the nanosecond.
public struct GoDuration: StringValue, Comparable {
    public let nanoseconds: Int64

    public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }
    public static func seconds(_ count: Int64) -> GoDuration { GoDuration(nanoseconds: count * 1_000_000_000) }

    private static let units: [(name: String, nanoseconds: UInt64)] = [
        ("ns", 1), ("us", 1000), ("µs", 1000), ("μs", 1000), ("ms", 1_000_000), ("s", 1_000_000_000),
        ("m", 60_000_000_000), ("h", 3_600_000_000_000),
    ]

    /// The grammar of Go's `time.ParseDuration`, and its rounding: `[-+]?(number unit)+`, or `0`.
    public init(parsing text: String) throws(InvalidValue) {
        func invalid(_ reason: String) -> InvalidValue { InvalidValue(expected: "duration", given: text, reason: reason) }
        var rest = text[...]
        let isNegative = rest.first == "-"
        if isNegative || rest.first == "+" { rest = rest.dropFirst() }
        if rest == "0" {
            nanoseconds = 0
            return
        }
        // Unsigned, as the lowest Int64 has no positive counterpart.
        var total: UInt64 = 0
        guard !rest.isEmpty else { throw invalid("want a number with a unit, such as 30s, 1h30m or 500ms") }
        while !rest.isEmpty {
            let whole = rest.prefix { $0.isASCII && $0.isNumber }
            rest = rest.dropFirst(whole.count)
            var fraction: Substring = ""
            if rest.first == "." {
                rest = rest.dropFirst()
                fraction = rest.prefix { $0.isASCII && $0.isNumber }
                rest = rest.dropFirst(fraction.count)
            }
            guard !whole.isEmpty || !fraction.isEmpty else { throw invalid("want a number with a unit, such as 30s") }
            let name = rest.prefix { !($0.isASCII && $0.isNumber) && $0 != "." }
            rest = rest.dropFirst(name.count)
            guard let unit = Self.units.first(where: { $0.name == name }) else {
                throw invalid(name.isEmpty ? "a unit is missing: ns, us, ms, s, m or h" : "the units are ns, us, ms, s, m and h")
            }
            guard let part = Self.scaled(whole: whole, fraction: fraction, unit: unit.nanoseconds) else {
                throw invalid("too long")
            }
            let (sum, overflow) = total.addingReportingOverflow(part)
            guard !overflow, sum <= Int64.min.magnitude else { throw invalid("too long") }
            total = sum
        }
        guard isNegative || total <= Int64.max.magnitude else { throw invalid("too long") }
        nanoseconds = Int64(truncatingIfNeeded: isNegative ? 0 &- total : total)
    }

    private static func scaled(whole: Substring, fraction: Substring, unit: UInt64) -> UInt64? {
        guard let count = whole.isEmpty ? 0 : UInt64(whole) else { return nil }
        let (product, overflow) = count.multipliedReportingOverflow(by: unit)
        guard !overflow else { return nil }
        // Digits that no longer fit into 63 bits cannot matter, and Go leaves them out too.
        var digits: UInt64 = 0
        var scale = 1.0
        for digit in fraction {
            guard digits <= UInt64(Int64.max) / 10 else { break }
            digits = digits * 10 + UInt64(digit.wholeNumberValue ?? 0)
            scale *= 10
        }
        let remainder = UInt64(Double(digits) * (Double(unit) / scale))
        let (sum, sumOverflow) = product.addingReportingOverflow(remainder)
        return sumOverflow ? nil : sum
    }

    /// As Go's `Duration.String()` prints it: `1h30m0s`, `1.5s`, `500ms`.
    public var description: String {
        if nanoseconds == 0 { return "0s" }
        let magnitude = nanoseconds.magnitude
        let sign = nanoseconds < 0 ? "-" : ""
        if magnitude < 1000 { return "\(sign)\(magnitude)ns" }
        if magnitude < 1_000_000 { return sign + Self.decimal(magnitude, per: 1000) + "µs" }
        if magnitude < 1_000_000_000 { return sign + Self.decimal(magnitude, per: 1_000_000) + "ms" }
        let minutes = magnitude / 60_000_000_000
        let seconds = Self.decimal(magnitude % 60_000_000_000, per: 1_000_000_000) + "s"
        if minutes == 0 { return sign + seconds }
        if minutes < 60 { return "\(sign)\(minutes)m\(seconds)" }
        return "\(sign)\(minutes / 60)h\(minutes % 60)m\(seconds)"
    }

    private static func decimal(_ value: UInt64, per unit: UInt64) -> String {
        let remainder = value % unit
        if remainder == 0 { return String(value / unit) }
        var digits = String(remainder + unit).dropFirst()
        while digits.last == "0" { digits = digits.dropLast() }
        return "\(value / unit).\(digits)"
    }

    /// As protobuf's JSON mapping writes a `Duration`: seconds with up to nine digits, `1.5s`.
    public var protobufJSON: String {
        let sign = nanoseconds < 0 ? "-" : ""
        return sign + Self.decimal(nanoseconds.magnitude, per: 1_000_000_000) + "s"
    }

    public var duration: Duration { .nanoseconds(nanoseconds) }
    public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }
}
