import Synchronization

/// The labels of a family as a type, so that no call can mix them up or leave one out.
public protocol MetricLabels: Hashable, Sendable {
    static var names: [String] { get }
    /// In the order of `names`.
    var values: [String] { get }
}

/// For a family of one series.
public struct NoLabels: MetricLabels {
    public static let names: [String] = []
    public var values: [String] { [] }
    public init() {}
}

/// Counts what happens; a series a set of labels.
public final class Counter<Labels: MetricLabels>: Sendable {
    private let series = Series<Labels, Double>()

    public init(_ name: String, help: String, in registry: MetricRegistry) throws(MetricError) {
        try registry.register(MetricFamily(.counter, name, labels: Labels.names, help: help)) { [series] in
            series.samples { .number($0) }
        }
    }

    /// Adds to a series, which begins with its first call: 0 makes it seen before anything happens. A counter never falls:
    /// amounts below zero count as zero.
    public func increment(_ labels: Labels, by amount: Double = 1) {
        series.update(labels, initial: 0) { $0 += amount > 0 ? amount : 0 }
    }

    /// Forgets the series that `isGone` names.
    public func remove(where isGone: (Labels) -> Bool) { series.remove(where: isGone) }
}

/// Tells how things are; a series a set of labels.
public final class Gauge<Labels: MetricLabels>: Sendable {
    private let series = Series<Labels, Double>()

    public init(_ name: String, help: String, in registry: MetricRegistry) throws(MetricError) {
        try registry.register(MetricFamily(.gauge, name, labels: Labels.names, help: help)) { [series] in
            series.samples { .number($0) }
        }
    }

    public func set(_ labels: Labels, to value: Double) { series.update(labels, initial: value) { $0 = value } }
    public func add(_ labels: Labels, _ amount: Double) { series.update(labels, initial: 0) { $0 += amount } }

    /// Forgets the series that `isGone` names.
    public func remove(where isGone: (Labels) -> Bool) { series.remove(where: isGone) }
}

/// Counts values by their size; a series a set of labels.
public final class Histogram<Labels: MetricLabels>: Sendable {
    private let series = Series<Labels, Distribution>()
    private let bounds: [Double]

    /// - Parameter bounds: the largest value of each bucket, rising, without the infinite one.
    public init(_ name: String, bounds: [Double], help: String, in registry: MetricRegistry) throws(MetricError) {
        self.bounds = bounds
        try registry.register(MetricFamily(.histogram, name, labels: Labels.names, help: help)) { [series] in
            series.samples { .histogram($0) }
        }
    }

    public func observe(_ labels: Labels, _ value: Double) {
        series.update(labels, initial: Distribution(bounds: bounds)) { $0.observe(value) }
    }

    /// Shows a series in which nothing has been counted yet.
    public func begin(_ labels: Labels) { series.update(labels, initial: Distribution(bounds: bounds)) { _ in } }

    /// Forgets the series that `isGone` names.
    public func remove(where isGone: (Labels) -> Bool) { series.remove(where: isGone) }
}

/// The series of one family.
private final class Series<Labels: MetricLabels, Value: Sendable>: Sendable {
    private let values = Mutex<[Labels: Value]>([:])

    func update(_ labels: Labels, initial: @autoclosure () -> Value, _ body: (inout Value) -> Void) {
        values.withLock { body(&$0[labels, default: initial()]) }
    }

    func remove(where isGone: (Labels) -> Bool) {
        values.withLock { values in
            values = values.filter { !isGone($0.key) }
        }
    }

    func samples(_ value: (Value) -> Sample.Value) -> [Sample] {
        let values = values.withLock { $0 }
        return values.map { Sample(value($0.value), labels: $0.key.values) }
    }
}
