public import Documents
public import EdgeAPI
public import KubernetesAPI
public import Logging
import Synchronization
public import Timing

/// Follows the objects of one kind and label in chosen namespaces, a set that changes over time: one watch each.
///
/// What it promises, beyond an `Informer`'s promises for each namespace:
/// - **Nothing is guessed**: what cannot be followed is unknown, and said to be so.
/// - A server that is away is not told of in the log by each watch: whoever follows the objects that name these says so.
public final class NamespaceWatches<Object: Sendable>: Sendable {
    /// What is told; each should only be taken note of.
    public enum Notice: Sendable {
        case change(ObjectChange<Object>)
        /// What is known of the namespace may have become certain, or uncertain.
        case condition(namespace: String)
    }

    public enum Knowledge: Sendable {
        case known(Observed<Object>)
        case absent
        /// The namespace is not followed, not yet or not at present.
        case unknown
    }

    private struct Watch: Sendable {
        var informer: Informer<Object>
        var stop: AsyncStream<Never>.Continuation
    }

    private struct State {
        var wanted: Set<String> = []
        var running: [String: Watch] = [:]
    }

    private let server: APIServer
    private let resource: APIResource
    private let labels: String
    private let indexes: [ObjectIndex<Object>]
    private let time: TimeSource
    private let logger: Logger
    private let decode: @Sendable (FieldNode) -> Decoded<Object>
    private let notify: @Sendable (Notice) -> Void
    private let state = Mutex(State())
    private let wakeup = Wakeup()

    /// - Parameters:
    ///   - labels: the label selector.
    ///   - decode: keeps of an object what matters, as every object of the label is kept.
    ///   - notify: two namespaces may be told of at the same time.
    public init(
        _ server: APIServer, _ resource: APIResource, labels: String, indexes: [ObjectIndex<Object>] = [],
        time: TimeSource = .system, logger: Logger, decode: @escaping @Sendable (FieldNode) -> Decoded<Object>,
        notify: @escaping @Sendable (Notice) -> Void
    ) {
        self.server = server
        self.resource = resource
        self.labels = labels
        self.indexes = indexes
        self.time = time
        self.logger = logger
        self.decode = decode
        self.notify = notify
    }

    /// The namespaces that are followed from now on, all others no longer; "" stands for all of them, by one watch.
    public func want(_ namespaces: Set<String>) {
        let isChanged = state.withLock { state in
            defer { state.wanted = namespaces }
            return state.wanted != namespaces
        }
        if isChanged { wakeup.signal() }
    }

    public func get(_ name: ObjectName) -> Knowledge {
        guard let informer = followed(name.namespace) else { return .unknown }
        return informer.observed(name).map { .known($0) } ?? .absent
    }

    /// Those that the index finds under `key` in the namespace; nil while it is unknown which there are.
    public func observed(_ index: ObjectIndex<Object>, _ key: ObjectName, in namespace: String) -> [Observed<Object>]? {
        followed(namespace)?.observed(index, key)
    }

    /// Those that the index finds under `key` in the namespace as they were last heard of, also while the server is away; nil before
    /// that.
    public func lastObserved(_ index: ObjectIndex<Object>, _ key: ObjectName, in namespace: String) -> [Observed<Object>]? {
        guard let informer = running(namespace), informer.hasSynced else { return nil }
        return informer.observed(index, key)
    }

    /// Why the namespace cannot be followed at present; nil while it can, and where it is not to be.
    public func problem(in namespace: String) -> APIError? { running(namespace)?.problem }

    private func running(_ namespace: String) -> Informer<Object>? {
        state.withLock { ($0.running[namespace] ?? $0.running[""])?.informer }
    }

    private func followed(_ namespace: String) -> Informer<Object>? {
        guard let informer = running(namespace), informer.hasSynced, informer.problem == nil
        else { return nil }
        return informer
    }

    /// Starts and stops watches as the wanted namespaces change, until the task is cancelled.
    public func run() async {
        await withDiscardingTaskGroup { group in
            while !Task.isCancelled {
                for (informer, ends) in adjusted() { group.addTask { await Self.follow(informer, until: ends) } }
                await wakeup.wait()
            }
            group.cancelAll()
        }
    }

    private func adjusted() -> [(Informer<Object>, AsyncStream<Never>)] {
        let (started, stopped) = state.withLock { state in
            var started: [(Informer<Object>, AsyncStream<Never>)] = []
            for namespace in state.wanted where state.running[namespace] == nil {
                let (ends, stop) = AsyncStream<Never>.makeStream()
                let informer = informer(namespace)
                state.running[namespace] = Watch(informer: informer, stop: stop)
                started.append((informer, ends))
            }
            let over = state.running.keys.filter { !state.wanted.contains($0) }
            return (started, over.compactMap { state.running.removeValue(forKey: $0) })
        }
        for watch in stopped { watch.stop.finish() }
        return started
    }

    private func informer(_ namespace: String) -> Informer<Object> {
        Informer(
            server, resource, APISelector(namespace: namespace.isEmpty ? nil : namespace, labels: labels), indexes: indexes,
            wanted: nil, time: time,
            logger: logger, isQuiet: true, decode: decode
        ) { [notify] notice in
            switch notice {
            case .change(let change): notify(.change(change))
            case .condition: notify(.condition(namespace: namespace))
            case .settled: break
            }
        }
    }

    private static func follow(_ informer: Informer<Object>, until ends: AsyncStream<Never>) async {
        await withTaskGroup { group in
            group.addTask { await informer.follow() }
            group.addTask { for await _ in ends {} }
            await group.next()
            group.cancelAll()
        }
    }
}
