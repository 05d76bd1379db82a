import Synchronization

/// What a work queue and the controller behind it tell: call each function where its name says.
public final class QueueMetrics: Sendable {
    /// How a reconcile ended, in controller-runtime's words.
    public enum Result: String, CaseIterable, Sendable {
        case success
        /// To be tried again with backoff.
        case error
        /// An error that no retry mends: the user has to act. Counts as `error` too.
        case terminalError
        case requeue
        /// To be looked at again at a time of its own.
        case requeueAfter

        var label: String {
            switch self {
            case .success: "success"
            case .error, .terminalError: "error"
            case .requeue: "requeue"
            case .requeueAfter: "requeue_after"
            }
        }
    }

    /// A reconcile under way.
    public struct Run: Sendable {
        fileprivate let number: UInt64
        fileprivate let start: ContinuousClock.Instant
    }

    private struct Running {
        var last: UInt64 = 0
        var starts: [UInt64: ContinuousClock.Instant] = [:]
    }

    let controller: String
    let workers: Int
    let depth: @Sendable () -> Int
    private let families: ControllerMetrics
    private let running = Mutex(Running())

    init(controller: String, workers: Int, depth: @escaping @Sendable () -> Int, families: ControllerMetrics) {
        self.controller = controller
        self.workers = workers
        self.depth = depth
        self.families = families
        let one = ControllerMetrics.ByController(controller: controller)
        let queue = ControllerMetrics.ByQueue(controller: controller)
        for result in Set(Result.allCases.map(\.label)) {
            families.reconciles.increment(.init(controller: controller, result: result), by: 0)
        }
        families.errors.increment(one, by: 0)
        families.terminalErrors.increment(one, by: 0)
        families.reconcileTime.begin(one)
        families.adds.increment(queue, by: 0)
        families.retries.increment(queue, by: 0)
        families.queueTime.begin(queue)
        families.workTime.begin(queue)
    }

    /// A key was added that did not wait already.
    public func added() { families.adds.increment(.init(controller: controller)) }

    /// A worker has taken a key.
    /// - Parameter waited: since the key was due.
    public func began(waited: Duration, now: ContinuousClock.Instant = .now) -> Run {
        families.queueTime.observe(.init(controller: controller), max(0, waited.inSeconds))
        return running.withLock { running in
            running.last += 1
            running.starts[running.last] = now
            return Run(number: running.last, start: now)
        }
    }

    /// The worker is done with it. A second call for the same run counts nothing.
    public func ended(_ run: Run, _ result: Result, now: ContinuousClock.Instant = .now) {
        guard running.withLock({ $0.starts.removeValue(forKey: run.number) }) != nil else { return }
        let took = (now - run.start).inSeconds
        families.workTime.observe(.init(controller: controller), took)
        families.reconcileTime.observe(.init(controller: controller), took)
        families.reconciles.increment(.init(controller: controller, result: result.label))
        switch result {
        case .success: break
        case .requeue, .requeueAfter: families.retries.increment(.init(controller: controller))
        case .error:
            families.retries.increment(.init(controller: controller))
            families.errors.increment(.init(controller: controller))
        case .terminalError:
            families.errors.increment(.init(controller: controller))
            families.terminalErrors.increment(.init(controller: controller))
        }
    }

    /// Reconciles under way.
    var active: Int { running.withLock { $0.starts.count } }

    /// Seconds that each reconcile under way has taken so far.
    func ages(now: ContinuousClock.Instant) -> [Double] {
        running.withLock { running in running.starts.values.map { (now - $0).inSeconds } }
    }
}

/// The families that are told from the queues as they are at the scrape.
final class QueueMetricsList: Sendable {
    private let queues = Mutex<[QueueMetrics]>([])

    func append(_ queue: QueueMetrics) { queues.withLock { $0.append(queue) } }

    func register(in registry: MetricRegistry) throws(MetricError) {
        let byController = ControllerMetrics.ByController.names
        let byQueue = ControllerMetrics.ByQueue.names
        try register(
            "controller_runtime_max_concurrent_reconciles", byController,
            "Maximum number of concurrent reconciles per controller",
            in: registry
        ) { Double($0.workers) }
        try register(
            "controller_runtime_active_workers", byController, "Number of currently used workers per controller", in: registry
        ) { Double($0.active) }
        // controller-runtime's priority is empty where a queue has none.
        try register(
            "workqueue_depth", byQueue + ["priority"], "Current depth of workqueue by workqueue and priority", in: registry
        ) { Double($0.depth()) }
        try register(
            "workqueue_unfinished_work_seconds", byQueue,
            "How many seconds of work has been done that is in progress and hasn't been observed by work_duration. Large values "
                + "indicate stuck threads. One can deduce the number of stuck threads by observing the rate at which this "
                + "increases.", in: registry
        ) { $0.ages(now: .now).reduce(0, +) }
        try register(
            "workqueue_longest_running_processor_seconds", byQueue,
            "How many seconds has the longest running processor for workqueue been running.", in: registry
        ) { $0.ages(now: .now).max() ?? 0 }
    }

    private func register(
        _ name: String, _ labels: [String], _ help: String, in registry: MetricRegistry,
        value: @escaping @Sendable (QueueMetrics) -> Double
    ) throws(MetricError) {
        try registry.register(MetricFamily(.gauge, name, labels: labels, help: help)) { [self] in
            queues.withLock { $0 }.map { queue in
                Sample(value(queue), labels: Array([queue.controller, queue.controller, ""].prefix(labels.count)))
            }
        }
    }
}

extension Duration {
    var inSeconds: Double { Double(components.seconds) + Double(components.attoseconds) * 1e-18 }
}
