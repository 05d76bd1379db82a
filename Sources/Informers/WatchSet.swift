public import EdgeAPI
public import KubernetesAPI
public import Logging
public import ServiceLifecycle
import Synchronization

/// Keeps chosen objects of one kind at hand: those whose names are wanted, a set that changes over time. So are Secrets and
/// Services followed that other objects refer to, without a look at all the others.
///
/// What it promises, beyond an `Informer`'s promises for each object:
/// - **Only wanted names are kept.** Up to `mostNames` in a namespace have a watch each, whose field selector admits that one
///   object; with more, or with `mostNames` 0, one watch of the namespace is read, and the rest of it is dropped undecoded.
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
        /// We may not ask for it: what to grant.
        case forbidden(String)
    }

    private struct Watch: Sendable {
        var informer: Informer<Object>
        var stop: AsyncStream<Never>.Continuation
    }

    private struct State {
        var wanted: Set<ObjectName> = []
        var planned: Set<WatchScope> = []
        var running: [WatchScope: Watch] = [:]
    }

    /// Names in a namespace that have a watch each.
    public static var usualMostNames: Int { 8 }

    private let server: APIServer
    private let resource: APIResource
    private let mostNames: Int
    private let time: TimeSource
    private let logger: Logger
    private let decode: @Sendable (FieldNode) -> Decoded<Object>
    private let onChange: @Sendable (ObjectName) -> Void
    private let state = Mutex(State())
    private let wakeup = Wakeup()

    /// - Parameters:
    ///   - mostNames: names in a namespace that get a watch each; 0 watches namespaces only.
    ///   - decode: such as `{ Secret.decode($0, unknownFields: .ignored) }`.
    ///   - onChange: called when `get` of that name may say something else; it should only take note. Two names may be told at
    ///     the same time.
    public init(
        _ server: APIServer, _ resource: APIResource, mostNames: Int = usualMostNames, time: TimeSource = .system,
        logger: Logger, decode: @escaping @Sendable (FieldNode) -> Decoded<Object>,
        onChange: @escaping @Sendable (ObjectName) -> Void = { _ in }
    ) {
        self.server = server
        self.resource = resource
        self.mostNames = mostNames
        self.time = time
        self.logger = logger
        self.decode = decode
        self.onChange = onChange
    }

    /// The names that are followed from now on, all others no longer.
    public func want(_ names: Set<ObjectName>) {
        let isChanged = state.withLock { state in
            if state.wanted == names { return false }
            state.wanted = names
            return true
        }
        if isChanged { wakeup.signal() }
    }

    public var wanted: Set<ObjectName> { state.withLock { $0.wanted } }

    /// Watches that run, also those that are about to end.
    public var watchCount: Int { state.withLock { $0.running.count } }

    public func get(_ name: ObjectName) -> Knowledge {
        let informers = state.withLock { state -> [Informer<Object>] in
            guard state.wanted.contains(name) else { return [] }
            let scopes = [WatchScope.name(name), .namespace(name.namespace)]
            // The planned one knows it best.
            return scopes.sorted { state.planned.contains($0) && !state.planned.contains($1) }
                .compactMap { state.running[$0]?.informer }
        }
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
        let (started, kept) = state.withLock { state in
            state.planned = Interest.plan(wanted: state.wanted, before: state.planned, mostNames: mostNames)
            var started: [(Watch, AsyncStream<Never>)] = []
            for scope in state.planned where state.running[scope] == nil {
                let (ends, stop) = AsyncStream<Never>.makeStream()
                let watch = Watch(informer: informer(scope, wanted: state.wanted), stop: stop)
                state.running[scope] = watch
                started.append((watch, ends))
            }
            let names = Dictionary(grouping: state.wanted, by: \.namespace).mapValues { Set($0) }
            var kept: [(Informer<Object>, Set<ObjectName>)] = []
            for (scope, watch) in state.running {
                guard case .namespace(let namespace) = scope else { continue }
                kept.append((watch.informer, names[namespace] ?? []))
            }
            return (started, kept)
        }
        for (informer, names) in kept { informer.setWanted(names) }
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
        }
        return Informer(
            server, resource, selector, wanted: names, time: time, logger: logger, isQuiet: true, decode: decode
        ) { [weak self] notice in
            self?.take(notice, of: scope)
        }
    }

    private func take(_ notice: Informer<Object>.Notice, of scope: WatchScope) {
        switch notice {
        case .change(let change): onChange(change.name)
        case .settled(let name):
            onChange(name)
            wakeup.signal()
        case .condition:
            for name in wanted where scope.covers(name) { onChange(name) }
            wakeup.signal()
        }
    }
}
