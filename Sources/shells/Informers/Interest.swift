import EdgeAPI

/// What one watch of a `WatchSet` covers.
enum WatchScope: Hashable, Sendable {
    case name(ObjectName)
    case namespace(String)
    case cluster

    /// Nil for all.
    var namespace: String? {
        switch self {
        case .name(let name): name.namespace
        case .namespace(let namespace): namespace
        case .cluster: nil
        }
    }

    func covers(_ name: ObjectName) -> Bool {
        switch self {
        case .name(let own): own == name
        case .namespace(let namespace): namespace == name.namespace
        case .cluster: true
        }
    }
}

/// How many watches a `WatchSet` may have, and of what.
public struct WatchLimits: Sendable {
    /// Names in a namespace that have a watch each; with more there is one of the namespace. 0 for always one.
    public var mostNames: Int
    /// Watches beyond its own namespace that those who wish from one namespace cause.
    public var mostForeign: Int
    /// Namespaces beyond which there is one watch of the cluster instead, where that is allowed; nil for never.
    public var mostNamespaces: Int?

    public init(mostNames: Int = 8, mostForeign: Int = 32, mostNamespaces: Int? = nil) {
        self.mostNames = mostNames
        self.mostForeign = mostForeign
        self.mostNamespaces = mostNamespaces
    }
}

/// The names that are wanted, by the namespace of those who want them: each has its share of the watches.
struct Wishes: Equatable, Sendable {
    var names: [String: Set<ObjectName>] = [:]

    var all: Set<ObjectName> { names.values.reduce(into: []) { $0.formUnion($1) } }

    /// In which order names are looked after where that is done one by one: the first of everybody, then the second.
    var ranks: [ObjectName: Int] {
        var ranks: [ObjectName: Int] = [:]
        for names in names.values {
            for (rank, name) in names.sorted().enumerated() { ranks[name] = min(ranks[name] ?? rank, rank) }
        }
        return ranks
    }
}

/// Decides which watches cover a set of wanted names.
enum Interest {
    /// What is followed of what is wished: all of who wishes' own namespace, and beyond it what `mostForeign` watches cover. What was
    /// followed before stays before what is new.
    static func admitted(_ wishes: Wishes, before: Set<ObjectName>, limits: WatchLimits, isCluster: Bool) -> Set<ObjectName> {
        guard !isCluster else { return wishes.all }
        var result: Set<ObjectName> = []
        for (home, names) in wishes.names {
            var foreign: [ObjectName] = []
            for name in names {
                if name.namespace == home { result.insert(name) } else { foreign.append(name) }
            }
            guard foreign.count > limits.mostForeign else {
                result.formUnion(foreign)
                continue
            }
            var taken: [String: Int] = [:]
            var watches = 0
            for name in foreign.sorted(by: { (before.contains($0) ? 0 : 1, $0) < (before.contains($1) ? 0 : 1, $1) }) {
                let others = taken[name.namespace] ?? 0
                // A watch for each name, up to the one of their namespace.
                let cost = others == 0 || others < limits.mostNames ? 1 : 0
                guard watches + cost <= limits.mostForeign else { continue }
                watches += cost
                taken[name.namespace] = others + 1
                result.insert(name)
            }
        }
        return result
    }

    /// Whether one watch of the cluster takes the place of many. It stays until half of the namespaces are gone.
    static func isClusterWide(_ wishes: Wishes, before: Set<WatchScope>, limits: WatchLimits) -> Bool {
        guard let most = limits.mostNamespaces else { return false }
        let namespaces = wishes.names.values.reduce(into: Set<String>()) { $0.formUnion($1.lazy.map(\.namespace)) }
        return namespaces.count > (before.contains(.cluster) ? most / 2 : most)
    }

    /// - Parameters:
    ///   - before: what was planned last; a namespace that is watched whole stays so until half of the names are gone, so
    ///     that a name that comes and goes does not start watches each time.
    ///   - mostNames: names in a namespace that get a watch each; with more, the namespace gets one. 0 for always one.
    static func plan(wanted: Set<ObjectName>, before: Set<WatchScope>, mostNames: Int) -> Set<WatchScope> {
        var scopes: Set<WatchScope> = []
        for (namespace, names) in Dictionary(grouping: wanted, by: \.namespace) {
            let most = before.contains(.namespace(namespace)) ? mostNames / 2 : mostNames
            if names.count > most {
                scopes.insert(.namespace(namespace))
            } else {
                scopes.formUnion(names.map { .name($0) })
            }
        }
        return scopes
    }

    /// Which of the running watches are over: those not planned, once what is planned knows every wanted name they cover.
    static func obsolete(
        running: Set<WatchScope>, planned: Set<WatchScope>, wanted: Set<ObjectName>,
        isSettled: (WatchScope, ObjectName) -> Bool
    ) -> Set<WatchScope> {
        running.subtracting(planned).filter { scope in
            wanted.filter { scope.covers($0) }.allSatisfy { name in
                planned.contains { $0.covers(name) && isSettled($0, name) }
            }
        }
    }
}
