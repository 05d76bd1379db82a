import EdgeAPI

/// How often the status of one object is written where only its words change: ten times at once, then every 2 s.
struct StatusPacing: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Writes of one object at once, and the pause between two when they are used up.
    static let burst = 10
    static let pause: Duration = .seconds(2)

    /// When an object's bucket will be full again, by kind and name.
    private var full: [Key: Instant] = [:]
    private struct Key: Hashable {
        var kind: String
        var name: ObjectName
    }
    /// Objects remembered until those with full buckets are forgotten.
    private var sweepAt = 1024

    var remembered: Int { full.count }

    /// Takes a place for one write.
    /// - Returns: how long to wait before it; zero for not at all.
    mutating func take(kind: String, _ name: ObjectName, now: Instant) -> Duration {
        if full.count >= sweepAt {
            full = full.filter { $0.value > now }
            sweepAt = max(1024, full.count * 2)
        }
        let key = Key(kind: kind, name: name)
        // Two that write at once both wait once: whoever waited for longer would tell what was true long ago.
        let filled = min(max(full[key] ?? now, now), now + Self.pause * Self.burst) + Self.pause
        full[key] = filled
        return max(.zero, now.duration(to: filled) - Self.pause * Self.burst)
    }
}

extension EdgeNodeStatus {
    /// But for messages, and what each uplink says of itself; how many are ready stays.
    var withoutWords: EdgeNodeStatus {
        var status = self
        status.conditions = conditions.map(\.withoutWords)
        status.uplinks = []
        return status
    }
}

extension PortBindingStatus {
    /// But for messages.
    var withoutWords: PortBindingStatus {
        var status = self
        status.conditions = conditions.map(\.withoutWords)
        for index in status.bindings.indices { status.bindings[index].message = "" }
        return status
    }
}

extension Condition {
    fileprivate var withoutWords: Condition {
        var condition = self
        condition.message = ""
        condition.lastTransitionTime = ""
        return condition
    }
}
