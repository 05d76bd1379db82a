import EdgeAPI
public import KubernetesAPI
public import Logging
public import ServiceLifecycle
import Synchronization
public import Timing

/// Writes Events in the background. What cannot be written is dropped: nothing ever waits for an Event.
///
/// What it promises:
/// - `record` returns at once. Events are written one after the other, in the order told.
/// - The same thing told again within 6 minutes is one Event whose count rises. An object gets 25 Events at once and one more
///   every 5 minutes; what goes beyond is counted in `dropped`.
/// - A namespace that is gone, or where we may not write, is logged once.
/// - On shutdown what is waiting is still written, for a few seconds at most.
public final class EventRecorder: ServiceLifecycle.Service {
    /// For what is left at the end.
    private static let farewell: Duration = .seconds(3)

    private let server: APIServer
    private let instance: String
    private let time: TimeSource
    private let logger: Logger
    private let aggregator = Mutex(EventAggregator())
    private let refusals = Mutex<Set<String>>([])
    private let wakeup = Wakeup()

    /// - Parameter instance: which process this is, such as `LeaderElection.identity`.
    public init(_ server: APIServer, instance: String, time: TimeSource = .system, logger: Logger) {
        self.server = server
        self.instance = instance
        self.time = time
        self.logger = logger
    }

    public func record(_ draft: EventDraft) {
        let (now, date) = (time.now(), time.microTime())
        aggregator.withLock { $0.tell(draft, now: now, date: date) }
        wakeup.signal()
    }

    /// What was told and never written.
    public var dropped: Int { aggregator.withLock { $0.dropped } }

    /// Writes until the task is cancelled or the service shuts down.
    public func run() async {
        await cancelWhenGracefulShutdown { await self.write() }
        // The task may be cancelled: what is left is written all the same.
        await Task { await self.writeRest() }.value
    }

    private func write() async {
        var backoff = Backoff()
        while !Task.isCancelled {
            let now = time.now()
            let step = aggregator.withLock { $0.next(now: now) }
            if case .wait(let until) = step {
                await waitForNews(until: until)
            } else if let retryAfter = await perform(step) {
                let wait = backoff.next(now: time.now(), random: time.random(), retryAfter: retryAfter.seconds)
                await time.sleep(for: wait)
            }
        }
    }

    private func writeRest() async {
        await withTaskGroup { group in
            group.addTask {
                let now = self.time.now()
                self.aggregator.withLock { $0.hurry(now: now) }
                while !Task.isCancelled {
                    let now = self.time.now()
                    let step = self.aggregator.withLock { $0.next(now: now) }
                    if case .wait = step { return }
                    if await self.perform(step) != nil { return }
                }
            }
            group.addTask { await self.time.sleep(for: Self.farewell) }
            await group.next()
            group.cancelAll()
        }
    }

    private func waitForNews(until: ContinuousClock.Instant?) async {
        await withTaskGroup { group in
            group.addTask { await self.wakeup.wait() }
            if let until { group.addTask { await self.time.sleep(until) } }
            await group.next()
            group.cancelAll()
        }
    }

    private struct Retry {
        var seconds: Int?
    }

    /// - Returns: nil unless it is to be tried again after a while.
    private func perform(_ step: EventAggregator.Step) async -> Retry? {
        let record: EventRecord
        let isCreation: Bool
        switch step {
        case .create(let new): (record, isCreation) = (new, true)
        case .patch(let known): (record, isCreation) = (known, false)
        case .wait: return nil
        }
        var outcome = EventAggregator.Outcome.written
        var retry: Retry?
        do throws(APIError) {
            if isCreation {
                try await server.create(
                    .events, namespace: record.name.namespace, record.manifest(instance: instance))
            } else {
                try await server.mergePatch(.events, record.name, record.patch)
            }
        } catch {
            if Task.isCancelled { return Retry() }
            outcome = Self.outcome(error, isCreation: isCreation)
            if outcome == .failed { retry = Retry(seconds: error.status?.retryAfter) }
            if outcome == .refused { tellOnce(error, of: record) }
        }
        let (now, date) = (time.now(), time.microTime())
        aggregator.withLock { $0.finish(record, outcome, now: now, date: date) }
        return retry
    }

    static func outcome(_ error: APIError, isCreation: Bool) -> EventAggregator.Outcome {
        switch (error.status?.code, isCreation) {
        case (404, false): .gone
        case (409, true) where error.status?.reason == "AlreadyExists": .nameTaken
        default: error.isTransient ? .failed : .refused
        }
    }

    private func tellOnce(_ error: APIError, of record: EventRecord) {
        let key = "\(record.name.namespace) \(error.status?.code ?? 0) \(error.status?.reason ?? "")"
        // Bounded by namespaces times the few codes there are; a cluster that makes namespaces by the thousand gets silence.
        let isNew = refusals.withLock { $0.count < 1000 && $0.insert(key).inserted }
        guard isNew else { return }
        logger.warning(
            "an Event is refused; further ones like it are dropped without a word",
            metadata: [
                "about": "\(record.draft.regarding.kind) \(record.draft.regarding.name)", "reason": "\(record.draft.reason)",
                "cause": "\(error)",
            ])
    }
}
