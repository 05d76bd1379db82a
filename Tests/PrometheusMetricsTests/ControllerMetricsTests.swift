import Testing

@testable import PrometheusMetrics

@Suite struct ControllerMetricsTests {
    private let registry = MetricRegistry()

    @Test func aControllerIsThereFromItsStart() throws {
        let metrics = try ControllerMetrics(in: registry)
        _ = metrics.queue(of: "edgenode", workers: 5) { 3 }
        let text = registry.render()
        for line in [
            #"controller_runtime_reconcile_total{controller="edgenode",result="requeue_after"} 0"#,
            #"controller_runtime_reconcile_errors_total{controller="edgenode"} 0"#,
            #"controller_runtime_terminal_reconcile_errors_total{controller="edgenode"} 0"#,
            #"controller_runtime_reconcile_time_seconds_count{controller="edgenode"} 0"#,
            #"controller_runtime_max_concurrent_reconciles{controller="edgenode"} 5"#,
            #"controller_runtime_active_workers{controller="edgenode"} 0"#,
            #"workqueue_depth{controller="edgenode",name="edgenode",priority=""} 3"#,
            #"workqueue_adds_total{controller="edgenode",name="edgenode"} 0"#,
            #"workqueue_longest_running_processor_seconds{controller="edgenode",name="edgenode"} 0"#,
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
    }

    /// The bounds are what dashboards select by: as controller-runtime writes them, rounding and all.
    @Test func theBucketsAreControllerRuntimes() throws {
        let metrics = try ControllerMetrics(in: registry)
        _ = metrics.queue(of: "edgenode", workers: 1) { 0 }
        func bounds(_ name: String) -> [Substring] {
            registry.render().split(separator: "\n").filter { $0.hasPrefix(name + "_bucket") }
                .compactMap { $0.split(separator: "\"").dropLast().last }
        }
        #expect(
            bounds("workqueue_queue_duration_seconds") == [
                "1e-08", "1e-07", "1e-06", "9.999999999999999e-06", "9.999999999999999e-05", "0.001", "0.01", "0.1", "1", "10",
                "100", "1000", "+Inf",
            ])
        let reconcile = bounds("controller_runtime_reconcile_time_seconds")
        #expect(reconcile.count == 41)
        #expect(reconcile.first == "0.005" && reconcile.dropLast().last == "60")
        #expect(reconcile.contains("1.25") && reconcile.contains("1"))
    }

    @Test func aReconcileIsCountedOnce() throws {
        let metrics = try ControllerMetrics(in: registry)
        let queue = metrics.queue(of: "edgenode", workers: 2) { 0 }
        let start = ContinuousClock.now
        queue.added()
        let run = queue.began(waited: .milliseconds(250), now: start)
        #expect(registry.render().contains("controller_runtime_active_workers{controller=\"edgenode\"} 1\n"))
        #expect(queue.ages(now: start + .seconds(4)) == [4])
        queue.ended(run, .success, now: start + .milliseconds(1500))
        queue.ended(run, .error, now: start + .seconds(9))
        let text = registry.render()
        for line in [
            #"workqueue_adds_total{controller="edgenode",name="edgenode"} 1"#,
            #"workqueue_retries_total{controller="edgenode",name="edgenode"} 0"#,
            #"workqueue_queue_duration_seconds_sum{controller="edgenode",name="edgenode"} 0.25"#,
            #"workqueue_work_duration_seconds_sum{controller="edgenode",name="edgenode"} 1.5"#,
            #"controller_runtime_reconcile_time_seconds_bucket{controller="edgenode",le="1.25"} 0"#,
            #"controller_runtime_reconcile_time_seconds_bucket{controller="edgenode",le="1.5"} 1"#,
            #"controller_runtime_reconcile_total{controller="edgenode",result="success"} 1"#,
            #"controller_runtime_reconcile_total{controller="edgenode",result="error"} 0"#,
            #"controller_runtime_active_workers{controller="edgenode"} 0"#,
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
    }

    @Test(arguments: [
        (QueueMetrics.Result.success, "success", 0, 0, 0), (.error, "error", 1, 1, 0), (.terminalError, "error", 0, 1, 1),
        (.requeue, "requeue", 1, 0, 0), (.requeueAfter, "requeue_after", 1, 0, 0),
    ])
    func anEndHasItsWord(result: QueueMetrics.Result, word: String, retries: Int, errors: Int, terminal: Int) throws {
        let metrics = try ControllerMetrics(in: registry)
        let queue = metrics.queue(of: "n", workers: 1) { 0 }
        queue.ended(queue.began(waited: .zero), result)
        let text = registry.render()
        #expect(text.contains("controller_runtime_reconcile_total{controller=\"n\",result=\"\(word)\"} 1\n"))
        #expect(text.contains("workqueue_retries_total{controller=\"n\",name=\"n\"} \(retries)\n"))
        #expect(text.contains("controller_runtime_reconcile_errors_total{controller=\"n\"} \(errors)\n"))
        #expect(text.contains("controller_runtime_terminal_reconcile_errors_total{controller=\"n\"} \(terminal)\n"))
    }

    @Test func requestsAndLeadershipAreTold() throws {
        let metrics = try ControllerMetrics(in: registry)
        metrics.requestEnded(code: 200, method: "GET", host: "10.96.0.1:443")
        metrics.requestEnded(code: nil, method: "PATCH", host: "10.96.0.1:443")
        metrics.leads(true, lease: "tidegate")
        metrics.leads(false, lease: "tidegate")
        let text = registry.render()
        #expect(text.contains(#"rest_client_requests_total{code="200",host="10.96.0.1:443",method="GET"} 1"#))
        #expect(text.contains(#"rest_client_requests_total{code="<error>",host="10.96.0.1:443",method="PATCH"} 1"#))
        #expect(text.contains(#"leader_election_master_status{name="tidegate"} 0"#))
    }
}
