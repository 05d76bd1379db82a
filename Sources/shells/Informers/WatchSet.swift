public import Documents
public import EdgeAPI
public import KubernetesAPI
public import Logging
public import ServiceLifecycle
import Synchronization
public import Timing

/// Keeps chosen objects of one kind at hand: those whose names are wanted, a set that changes over time. So are Secrets and
/// Services followed that other objects refer to, without a look at all the others.
///
/// What it promises, beyond an `Informer`'s promises for each object:
/// - **Only wanted names are kept.** Up to `mostNames` in a namespace have a watch each, whose field selector admits that one
///   object; with more, or with `mostNames` 0, one watch of the namespace is read, and the rest of it is dropped undecoded.
/// - **Nobody's names cost without bound**: `WatchLimits` says how many watches there are, and whoever wishes more than a share is told
///   so, for the names beyond.
/// - **What is wanted stays known** while watches come and go: an old one ends only when the new one knows its names.
/// - **`get` never guesses**: absent means that the server said so.
/// - A server that is away is not told of in the log by each watch: whoever follows the objects that name these says so.
/// - A name that becomes wanted where its namespace is watched already costs one read, not a new list.
public final class WatchSet<Object: Sendable>: ServiceLifecycle.Service {
    /// What is known of an object.
    public enum Knowledge: Sendable {
        case known(Observed<Object>)
        case absent
        /// The server has not told yet, or the name is not wanted; `onChange` is called when that changes.
        /// - `cause`: why the server does not tell; nil when it is only a matter of a moment.
        case unknown(cause: String?)
        /// We may not ask for it: what to grant. Or too much is asked for: of what there may be less.
        case forbidden(String)
    }

    private struct Watch: Sendable {
        var informer: Informer<Object>
        var stop: AsyncStream<Never>.Continuation
    }

    private struct State {
        var wishes = Wishes()
        /// Since the watches were last told.
        var isChanged = false
        var wanted: Set<ObjectName> = []
        /// Wished for, beyond somebody's share.
        var refused: Set<ObjectName> = []
        /// The server lets us watch no whole cluster.
        var isClusterForbidden = false
        var planned: Set<WatchScope> = []
        var running: [WatchScope: Watch] = [:]
    }

    private let server: APIServer
    private let resource: APIResource
    private let limits: WatchLimits
    private let time: TimeSource
    private let logger: Logger
    private let parts: JSONParts
    private let decode: @Sendable (FieldNode) -> Decoded<Object>
    private let onChange: @Sendable (ObjectName) -> Void
    private let state = Mutex(State())
    private let wakeup = Wakeup()

    /// - Parameters:
    ///   - parts: what is kept of an object's JSON before it is decoded.
    ///   - decode: such as `{ Secret.decode($0, unknownFields: .ignored) }`.
    ///   - onChange: called when `get` of that name may say something else; it should only take note. Two names may be told at
    ///     the same time.
    public init(
        _ server: APIServer, _ resource: APIResource, limits: WatchLimits = WatchLimits(), parts: JSONParts = .all,
        time: TimeSource = .system,
        logger: Logger, decode: @escaping @Sendable (FieldNode) -> Decoded<Object>,
        onChange: @escaping @Sendable (ObjectName) -> Void = { _ in }
    ) {
        self.server = server
        self.resource = resource
        self.limits = limits
        self.parts = parts
        self.time = time
        self.logger = logger
        self.decode = decode
        self.onChange = onChange
    }

    /// The names that are followed from now on, all others no longer; each is wished for by its own namespace.
    public func want(_ names: Set<ObjectName>) {
        want(wishes: Dictionary(grouping: names, by: \.namespace).mapValues { Set($0) })
    }

    /// - Parameter wishes: names, by the namespace of the objects that name them.
    public func want(wishes names: [String: Set<ObjectName>]) {
        let wishes = Wishes(names: names)
        let told = state.withLock { state -> Set<ObjectName>? in
            if state.wishes == wishes { return nil }
            state.wishes = wishes
            return admit(&state)
        }
        guard let told else { return }
        wakeup.signal()
        for name in told { onChange(name) }
    }

    /// - Returns: the names of which `get` says something else now.
    private func admit(_ state: inout State) -> Set<ObjectName> {
        let isCluster = isClusterWide(state)
        let wanted = Interest.admitted(state.wishes, before: state.wanted, limits: limits, isCluster: isCluster)
        let refused = isCluster ? [] : state.wishes.all.subtracting(wanted)
        defer {
            state.isChanged = true
            state.wanted = wanted
            state.refused = refused
        }
        return refused.symmetricDifference(state.refused)
    }

    private func isClusterWide(_ state: State) -> Bool {
        !state.isClusterForbidden && Interest.isClusterWide(state.wishes, before: state.planned, limits: limits)
    }

    public var wanted: Set<ObjectName> { state.withLock { $0.wanted } }

    /// Watches that run, also those that are about to end.
    public var watchCount: Int { state.withLock { $0.running.count } }

    public func get(_ name: ObjectName) -> Knowledge {
        let (informers, isRefused) = state.withLock { state -> ([Informer<Object>], Bool) in
            guard state.wanted.contains(name) else { return ([], state.refused.contains(name)) }
            let scopes = [WatchScope.name(name), .namespace(name.namespace), .cluster]
            // The planned one knows it best.
            let informers = scopes.sorted { state.planned.contains($0) && !state.planned.contains($1) }
                .compactMap { state.running[$0]?.informer }
            return (informers, false)
        }
        if isRefused { return .forbidden(tooMany) }
        var problem: APIError?
        for informer in informers {
            switch informer.knowledge(of: name) {
            case .certain(let object?): return .known(object)
            case .certain(nil): return .absent
            case .open(let cause): problem = problem ?? cause
            }
        }
        guard let problem else { return .unknown(cause: nil) }
        guard problem.status?.code == 403 else { return .unknown(cause: "\(problem)") }
        let group = resource.group.isEmpty ? "" : ".\(resource.group)"
        return .forbidden(
            "grant get, list and watch on \(resource.plural)\(group) in namespace \(name.namespace) to Tidegate's service account"
                + " (a Role and a RoleBinding there): \(problem)")
    }

    private var tooMany: String {
        "the objects of one namespace name too many \(resource.plural) of others; \(limits.mostForeign) "
            + (limits.mostNames == 0 ? "namespaces are followed" : "are followed") + ", and this is beyond: name fewer"
    }

    /// Starts and stops watches as the wanted names change, until the task is cancelled or the service shuts down.
    public func run() async {
        await cancelWhenGracefulShutdown {
            await withDiscardingTaskGroup { group in
                while !Task.isCancelled {
                    self.adjust(&group)
                    await self.wakeup.wait()
                }
                group.cancelAll()
            }
        }
    }

    private func adjust(_ group: inout DiscardingTaskGroup) {
        let (started, kept, ranks) = state.withLock { state in
            let isCluster = isClusterWide(state)
            state.planned =
                isCluster ? [.cluster] : Interest.plan(wanted: state.wanted, before: state.planned, mostNames: limits.mostNames)
            var started: [(Watch, AsyncStream<Never>)] = []
            for scope in state.planned where state.running[scope] == nil {
                let (ends, stop) = AsyncStream<Never>.makeStream()
                let watch = Watch(informer: informer(scope, wanted: state.wanted), stop: stop)
                state.running[scope] = watch
                started.append((watch, ends))
            }
            var kept: [(Informer<Object>, Set<ObjectName>)] = []
            guard state.isChanged else { return (started, kept, [ObjectName: Int]()) }
            state.isChanged = false
            let names = Dictionary(grouping: state.wanted, by: \.namespace).mapValues { Set($0) }
            for (scope, watch) in state.running {
                switch scope {
                case .name: break
                case .namespace(let namespace): kept.append((watch.informer, names[namespace] ?? []))
                case .cluster: kept.append((watch.informer, state.wanted))
                }
            }
            return (started, kept, isCluster ? state.wishes.ranks : [:])
        }
        for (informer, names) in kept { informer.setWanted(names, ranks: ranks) }
        for (watch, ends) in started { group.addTask { await Self.follow(watch.informer, until: ends) } }
        stopObsolete()
    }

    private func stopObsolete() {
        let stopped = state.withLock { state in
            let running = state.running
            let over = Interest.obsolete(running: Set(running.keys), planned: state.planned, wanted: state.wanted) {
                guard case .certain? = running[$0]?.informer.knowledge(of: $1) else { return false }
                return true
            }
            return over.compactMap { state.running.removeValue(forKey: $0) }
        }
        for watch in stopped { watch.stop.finish() }
    }

    private static func follow(_ informer: Informer<Object>, until ends: AsyncStream<Never>) async {
        await withTaskGroup { group in
            group.addTask { await informer.follow() }
            group.addTask { for await _ in ends {} }
            await group.next()
            group.cancelAll()
        }
    }

    private func informer(_ scope: WatchScope, wanted: Set<ObjectName>) -> Informer<Object> {
        var selector = APISelector(namespace: scope.namespace)
        var names: Set<ObjectName>?
        switch scope {
        case .name(let name): selector.fields = "metadata.name=\(name.name)"
        case .namespace(let namespace): names = wanted.filter { $0.namespace == namespace }
        case .cluster: names = wanted
        }
        return Informer(
            server, resource, selector, wanted: names, time: time, logger: logger, isQuiet: true, parts: parts, decode: decode
        ) { [weak self] notice in
            self?.take(notice, of: scope)
        }
    }

    private func take(_ notice: Informer<Object>.Notice, of scope: WatchScope) {
        switch notice {
        case .change(let change): onChange(change.name)
        case .settled(let name):
            onChange(name)
            // Only where some watch waits for its end.
            if state.withLock({ $0.running.count > $0.planned.count }) { wakeup.signal() }
        case .condition:
            if scope == .cluster { lookAtRights() }
            for name in wanted where scope.covers(name) { onChange(name) }
            wakeup.signal()
        }
    }

    /// Without the right to watch the cluster, each namespace has its watch again.
    private func lookAtRights() {
        let told = state.withLock { state -> Set<ObjectName> in
            guard !state.isClusterForbidden, state.running[.cluster]?.informer.problem?.status?.code == 403 else { return [] }
            state.isClusterForbidden = true
            // One that knows nothing has nothing to hand over.
            if state.running[.cluster]?.informer.hasSynced == false {
                state.running.removeValue(forKey: .cluster)?.stop.finish()
            }
            return admit(&state)
        }
        for name in told { onChange(name) }
    }
}
