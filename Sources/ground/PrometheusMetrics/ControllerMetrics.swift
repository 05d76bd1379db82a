/// What every controller tells of itself, under the names that controller-runtime and client-go have made usual; dashboards
/// know them. Names, labels, helps and buckets are those of controller-runtime's `pkg/internal/controller/metrics`,
/// `pkg/internal/metrics` and `pkg/metrics`.
public struct ControllerMetrics: Sendable {
    struct ByController: MetricLabels {
        static let names = ["controller"]
        let controller: String
        var values: [String] { [controller] }
    }

    struct ByResult: MetricLabels {
        static let names = ["controller", "result"]
        let controller: String
        let result: String
        var values: [String] { [controller, result] }
    }

    /// A controller's queue has the controller's name.
    struct ByQueue: MetricLabels {
        static let names = ["controller", "name"]
        let controller: String
        var values: [String] { [controller, controller] }
    }

    struct ByRequest: MetricLabels {
        static let names = ["code", "host", "method"]
        let code: String
        let host: String
        let method: String
        var values: [String] { [code, host, method] }
    }

    struct ByLease: MetricLabels {
        static let names = ["name"]
        let name: String
        var values: [String] { [name] }
    }

    static let reconcileBounds: [Double] = [
        0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.25, 1.5, 1.75, 2,
        2.5, 3, 3.5, 4, 4.5, 5, 6, 7, 8, 9, 10, 15, 20, 25, 30, 40, 50, 60,
    ]
    static let queueBounds = Distribution.exponentialBounds(start: 10e-9, factor: 10, count: 12)

    let reconciles: Counter<ByResult>
    let errors: Counter<ByController>
    let terminalErrors: Counter<ByController>
    let reconcileTime: Histogram<ByController>
    let adds: Counter<ByQueue>
    let retries: Counter<ByQueue>
    let queueTime: Histogram<ByQueue>
    let workTime: Histogram<ByQueue>
    private let queues = QueueMetricsList()
    private let requests: Counter<ByRequest>
    private let leader: Gauge<ByLease>

    public init(in registry: MetricRegistry) throws(MetricError) {
        reconciles = try Counter(
            "controller_runtime_reconcile_total", help: "Total number of reconciliations per controller", in: registry)
        errors = try Counter(
            "controller_runtime_reconcile_errors_total", help: "Total number of reconciliation errors per controller",
            in: registry)
        terminalErrors = try Counter(
            "controller_runtime_terminal_reconcile_errors_total",
            help: "Total number of terminal reconciliation errors per controller", in: registry)
        reconcileTime = try Histogram(
            "controller_runtime_reconcile_time_seconds", bounds: Self.reconcileBounds,
            help: "Length of time per reconciliation per controller", in: registry)
        adds = try Counter("workqueue_adds_total", help: "Total number of adds handled by workqueue", in: registry)
        retries = try Counter("workqueue_retries_total", help: "Total number of retries handled by workqueue", in: registry)
        queueTime = try Histogram(
            "workqueue_queue_duration_seconds", bounds: Self.queueBounds,
            help: "How long in seconds an item stays in workqueue before being requested", in: registry)
        workTime = try Histogram(
            "workqueue_work_duration_seconds", bounds: Self.queueBounds,
            help: "How long in seconds processing an item from workqueue takes.", in: registry)
        requests = try Counter(
            "rest_client_requests_total", help: "Number of HTTP requests, partitioned by status code, method, and host.",
            in: registry)
        leader = try Gauge(
            "leader_election_master_status",
            help: "Gauge of if the reporting system is master of the relevant lease, 0 indicates backup, 1 indicates master. "
                + "'name' is the string used to identify the lease. Please make sure to group by name.",
            in: registry)
        try queues.register(in: registry)
    }

    /// The metrics of one controller and its queue; once a controller. All its series are there from now on, at 0.
    /// - Parameters:
    ///   - controller: lower case, as controller-runtime has it: `edgenode`.
    ///   - workers: `--max-concurrent-reconciles`.
    ///   - depth: how many keys are due and wait for a worker; asked for at each scrape, from any thread. Keys planned for
    ///     later do not count.
    public func queue(
        of controller: String, workers: Int, depth: @escaping @Sendable () -> Int
    ) -> QueueMetrics {
        let queue = QueueMetrics(controller: controller, workers: workers, depth: depth, families: self)
        queues.append(queue)
        return queue
    }

    /// A request to the API server has ended.
    /// - Parameters:
    ///   - code: the status; nil when no answer came.
    ///   - method: of HTTP, upper case.
    ///   - host: with the port, as dialed.
    public func requestEnded(code: Int?, method: String, host: String) {
        // client-go's word for no answer.
        requests.increment(ByRequest(code: code.map(String.init) ?? "<error>", host: host, method: method))
    }

    /// - Parameter lease: its name.
    public func leads(_ isLeader: Bool, lease: String) { leader.set(ByLease(name: lease), to: isLeader ? 1 : 0) }
}
