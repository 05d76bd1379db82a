/// How many values of each size were seen: the state of one histogram.
public struct Distribution: Hashable, Sendable {
    /// The largest value of each bucket, rising; values above the last one count too.
    public let bounds: [Double]
    /// Seen in each bucket alone, not cumulative.
    public private(set) var counts: [UInt64]
    /// Seen in all.
    public private(set) var count: UInt64 = 0
    public private(set) var sum: Double = 0

    public init(bounds: [Double]) {
        self.bounds = bounds
        counts = Array(repeating: 0, count: bounds.count)
    }

    /// Not a number is not counted: it would spoil the sum for ever.
    public mutating func observe(_ value: Double) {
        guard !value.isNaN else { return }
        count += 1
        sum += value
        if let bucket = bounds.firstIndex(where: { value <= $0 }) { counts[bucket] += 1 }
    }

    /// `count` bounds from `start`, each `factor` times the one before, with the same rounding as client_golang's
    /// `ExponentialBuckets`: dashboards compare the text of a bound.
    public static func exponentialBounds(start: Double, factor: Double, count: Int) -> [Double] {
        var bound = start
        return (0..<count).map { _ in
            defer { bound *= factor }
            return bound
        }
    }
}
