import Synchronization

/// The metrics of a program, each name once.
public final class MetricRegistry: Sendable {
    private struct Entry: Sendable {
        let family: MetricFamily
        let samples: @Sendable () -> [Sample]
    }

    /// By name.
    private let entries = Mutex<[String: Entry]>([:])

    public init() {}

    /// Adds a family whose samples are asked for at each rendering, from any thread.
    ///
    /// - Throws: where another family has the name, or would write a line of the same name, or where it is no name.
    public func register(_ family: MetricFamily, samples: @escaping @Sendable () -> [Sample]) throws(MetricError) {
        if let problem = family.problem { throw problem }
        let isTaken = entries.withLock { entries in
            let taken = Set(entries.values.flatMap(\.family.lineNames))
            guard taken.isDisjoint(with: family.lineNames) else { return true }
            entries[family.name] = Entry(family: family, samples: samples)
            return false
        }
        if isTaken { throw .duplicate(family.name) }
    }

    /// All families by name, as `Exposition.contentType` promises.
    public func render() -> String {
        // Outside the lock: a family may ask what takes a while.
        let entries = entries.withLock { Array($0.values) }
        var exposition = Exposition()
        for entry in entries.sorted(by: { $0.family.name < $1.family.name }) {
            exposition.write(entry.family, entry.samples())
        }
        return exposition.text
    }
}
