internal import EdgeAPI

/// What one watch of a `WatchSet` covers.
enum WatchScope: Hashable, Sendable {
    case name(ObjectName)
    case namespace(String)

    var namespace: String {
        switch self {
        case .name(let name): name.namespace
        case .namespace(let namespace): namespace
        }
    }

    func covers(_ name: ObjectName) -> Bool {
        switch self {
        case .name(let own): own == name
        case .namespace(let namespace): namespace == name.namespace
        }
    }
}

/// Decides which watches cover a set of wanted names.
enum Interest {
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
