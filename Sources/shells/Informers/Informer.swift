public import Documents
public import EdgeAPI
public import KubernetesAPI
public import Logging
public import ServiceLifecycle
import Synchronization
public import Timing

/// Keeps the objects of one kind at hand, in step with the API server.
///
/// What it promises:
/// - **Reading never waits** for the network, and works from any task. What is read is never newer than the server, may be a
///   moment older, and never goes back in time for one object.
/// - **Every change is told**, to one handler, one after the other, in an order the server had: first the store, then the
///   handler. Changes that follow one another closely, or happened while the server was away, may be told as one. An object
///   that was made anew under its name is told as deleted, then added. The same version is never told twice.
/// - **`waitForSync` returns** when the first complete list is in the store and each object of it has been told.
/// - **A server that is away changes nothing**: what is known stays readable. When it is back the watch goes on from where it
///   was; objects are listed anew only when the server says that it forgot that point (410), with backoff and jitter.
/// - **One object never stops another**: what does not decode is kept with its metadata and problems.
/// - It asks with watches that begin with the present objects, or with pages of a list where the server has no such watches.
///   Lists are consistent reads: a restart never shows an older state than the run before it saw.
public final class Informer<Object: Sendable>: ServiceLifecycle.Service {
    /// What is told, in order.
    enum Notice: Sendable {
        case change(ObjectChange<Object>)
        /// What is known of this name may have become certain.
        case settled(ObjectName)
        /// `isSynced` or `problem` may have changed.
        case condition
    }

    struct State {
        var reflector: Reflector<Object>
        var store: ObjectStore<Object>
        /// Names that are kept; nil for all.
        var wanted: Set<ObjectName>?
        /// Wanted names that became so after the list that would have told of them: to be read one by one.
        var uncovered: Set<ObjectName> = []
        /// The same in reverse of the order in which they are read; empty, or with names that are covered by now, until looked at.
        var errands: [ObjectName] = []
        /// What that order is made by.
        var ranks: [ObjectName: Int] = [:]
        /// Those of `uncovered` that became so while a list is under way.
        var late: Set<ObjectName> = []
        /// Tells an open watch whether it is still the one that counts.
        var stream = 0
        var failingSince: ContinuousClock.Instant?
        var isSynced = false
        var waiters: [Int: CheckedContinuation<Bool, Never>] = [:]
        var lastWaiter = 0
        var outbox: [Notice] = []
        var isDelivering = false
    }

    let server: APIServer
    let resource: APIResource
    let selector: APISelector
    let time: TimeSource
    let logger: Logger
    /// Leaves it to others to say that the server is away.
    let isQuiet: Bool
    /// What is kept of an object's JSON before it is decoded.
    let parts: JSONParts
    let decode: @Sendable (FieldNode) -> Decoded<Object>
    private let notify: @Sendable (Notice) -> Void
    let state: Mutex<State>
    /// Wakes whoever reads single objects.
    let errands = Wakeup()

    /// - Parameters:
    ///   - selector: which objects; all of the cluster without a namespace.
    ///   - indexes: kept up to date for `objects(_:_:)`.
    ///   - decode: such as `{ EdgeNode.decode($0, unknownFields: .ignored) }`.
    ///   - onChange: called in order, from one task at a time; it should only take note, such as by adding to a queue.
    public convenience init(
        _ server: APIServer, _ resource: APIResource, _ selector: APISelector = APISelector(),
        indexes: [ObjectIndex<Object>] = [], time: TimeSource = .system, logger: Logger,
        decode: @escaping @Sendable (FieldNode) -> Decoded<Object>,
        onChange: @escaping @Sendable (ObjectChange<Object>) -> Void = { _ in }
    ) {
        self.init(
            server, resource, selector, indexes: indexes, wanted: nil, time: time, logger: logger, isQuiet: false, decode: decode
        ) { notice in
            if case .change(let change) = notice { onChange(change) }
        }
    }

    /// - Parameter wanted: names that are kept; nil for all.
    init(
        _ server: APIServer, _ resource: APIResource, _ selector: APISelector, indexes: [ObjectIndex<Object>] = [],
        wanted: Set<ObjectName>?, time: TimeSource, logger: Logger, isQuiet: Bool, parts: JSONParts = .all,
        decode: @escaping @Sendable (FieldNode) -> Decoded<Object>, notify: @escaping @Sendable (Notice) -> Void
    ) {
        self.server = server
        self.resource = resource
        self.selector = selector
        self.time = time
        self.logger = logger
        self.isQuiet = isQuiet
        self.parts = parts
        self.decode = decode
        self.notify = notify
        state = Mutex(State(reflector: Reflector(), store: ObjectStore(indexes: indexes), wanted: wanted))
    }

    // MARK: Reading

    /// The object, when it is known and decodes.
    public func get(_ name: ObjectName) -> Object? { observed(name)?.object }

    public func observed(_ name: ObjectName) -> Observed<Object>? { state.withLock { $0.store[name] } }

    /// Those that decode, in any order.
    public var all: [Object] { state.withLock { $0.store.objects.values.compactMap(\.object) } }

    /// Those that do not decode too, in any order.
    public var allObserved: [Observed<Object>] { state.withLock { Array($0.store.objects.values) } }

    /// Those that decode and that the index finds under `key`, in any order.
    public func objects(_ index: ObjectIndex<Object>, _ key: ObjectName) -> [Object] {
        state.withLock { $0.store.objects(index, key) }
    }

    func observed(_ index: ObjectIndex<Object>, _ key: ObjectName) -> [Observed<Object>] {
        state.withLock { $0.store.observed(index, key) }
    }

    /// Whether the first complete list is there and has been told.
    public var hasSynced: Bool { state.withLock { $0.isSynced } }

    /// Why the server cannot be followed at present; nil while it can.
    public var problem: APIError? { state.withLock { $0.reflector.problem } }

    /// Returns when `hasSynced`; for ever it waits for a server that does not answer.
    public func waitForSync() async throws(CancellationError) {
        let number = state.withLock { state in
            state.lastWaiter += 1
            return state.lastWaiter
        }
        let isSynced = await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let result: Bool? = state.withLock { state in
                    if state.isSynced { return true }
                    if Task.isCancelled { return false }
                    state.waiters[number] = continuation
                    return nil
                }
                if let result { continuation.resume(returning: result) }
            }
        } onCancel: {
            state.withLock { $0.waiters.removeValue(forKey: number) }?.resume(returning: false)
        }
        if !isSynced { throw CancellationError() }
    }

    // MARK: Running

    /// Follows the server until the task is cancelled or the service shuts down; what is known stays readable after that.
    public func run() async {
        await cancelWhenGracefulShutdown { await self.follow() }
    }

    // MARK: Telling

    /// Changes the state; what `body` put into the outbox is told before this returns, or by the task that is telling already.
    func change<Result: Sendable>(_ body: @Sendable (inout State) -> Result) -> Result {
        let (result, hasErrands) = state.withLock { state in
            (body(&state), !state.uncovered.isEmpty && !state.reflector.isCollecting)
        }
        if hasErrands { errands.signal() }
        deliver()
        return result
    }

    private func deliver() {
        while true {
            let notices: [Notice] = state.withLock { state in
                guard !state.isDelivering, !state.outbox.isEmpty else { return [] }
                state.isDelivering = true
                defer { state.outbox = [] }
                return state.outbox
            }
            guard !notices.isEmpty else { return }
            for notice in notices { notify(notice) }
            let waiters: [CheckedContinuation<Bool, Never>] = state.withLock { state in
                state.isDelivering = false
                guard state.reflector.isSynced, !state.isSynced, state.outbox.isEmpty else { return [] }
                state.isSynced = true
                state.outbox.append(.condition)
                defer { state.waiters = [:] }
                return Array(state.waiters.values)
            }
            for waiter in waiters { waiter.resume(returning: true) }
        }
    }
}

extension Informer.State {
    /// Takes what the reflector made of an answer.
    mutating func take(_ effect: Reflector<Object>.Effect?) {
        switch effect {
        case .put(let object):
            uncovered.remove(object.name)
            tell(store.put(object))
        case .remove(let name, let version):
            uncovered.remove(name)
            tell(store.remove(name, resourceVersion: version))
        case .replace(var list):
            if let wanted { list = list.filter { wanted.contains($0.key) } }
            uncovered = late.filter { list[$0] == nil }
            late = []
            tell(store.replace(with: list, keeping: uncovered))
            outbox.append(.condition)
        case nil: break
        }
    }

    mutating func tell(_ changes: [ObjectChange<Object>]) { outbox += changes.map { .change($0) } }
}
