import Synchronization

/// Which namespaces' EndpointSlices are followed: each namespace that asks has a share, so that whoever names many takes nothing from others.
final class EndpointWishes: Sendable {
    /// Namespaces beyond its own that one namespace may ask for.
    static let mostForeign = 32
    /// With more in all, one watch of the cluster is read instead, where that is allowed, until half of them are gone.
    static let mostNamespaces = 32

    private struct State {
        /// Once known it stays so: each try would take away what the watches of the namespaces know.
        var isClusterForbidden = false
        var isCluster = false
        var refused: Set<String> = []
    }

    private let state = Mutex(State())

    /// - Parameter wishes: namespaces of Services, by the namespace of who asks for their endpoints.
    /// - Returns: what is to be followed; "" for the whole cluster.
    func admit(_ wishes: [String: Set<String>]) -> Set<String> {
        var admitted: Set<String> = []
        for (home, names) in wishes {
            if names.contains(home) { admitted.insert(home) }
            admitted.formUnion(names.subtracting([home]).sorted().prefix(Self.mostForeign))
        }
        let all = wishes.values.reduce(into: Set<String>()) { $0.formUnion($1) }
        return state.withLock { state in
            let most = state.isCluster ? Self.mostNamespaces / 2 : Self.mostNamespaces
            state.isCluster = all.count > most && !state.isClusterForbidden
            state.refused = state.isCluster ? [] : all.subtracting(admitted)
            return state.isCluster ? [""] : admitted
        }
    }

    /// The server lets us watch no whole cluster.
    func forbidCluster() { state.withLock { $0.isClusterForbidden = true } }

    /// Whether somebody asks for it, beyond a share.
    func isRefused(_ namespace: String) -> Bool { state.withLock { $0.refused.contains(namespace) } }
}
