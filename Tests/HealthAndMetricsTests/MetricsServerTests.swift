import Foundation
import PrometheusMetrics
import Synchronization
import TestPrograms
import Testing

@testable import HealthAndMetrics

/// An API server to which Prometheus may read and bob may not; what ghost may it cannot tell.
final class Reviewer: Sendable {
    private struct Away: Error {}

    private let asked = Mutex<[String]>([])

    /// The tokens that were asked about.
    var tokens: [String] { asked.withLock { $0 } }

    func review(token: String) throws -> AccessDecision {
        asked.withLock { $0.append(token) }
        switch token {
        case "prometheus": return .allowed(user: "system:serviceaccount:monitoring:prometheus")
        case "bob": return .denied(user: "bob", reason: "no rule")
        case "ghost": throw Away()
        default: return .unauthenticated
        }
    }
}

@Suite struct MetricsServerTests {
    private let registry = MetricRegistry()
    private let reviewer = Reviewer()

    init() throws {
        try registry.register(MetricFamily(.gauge, "answer", help: "To all.")) { [Sample(42)] }
        try ProcessMetrics.register(in: registry)
    }

    private func secured(_ body: @escaping @Sendable (_ url: String) async throws -> Void) async throws {
        try await serving {
            MetricsServer(
                address: freePort(), security: .on(certificate: nil, http2: false, review: reviewer.review), registry: registry,
                logger: quiet, onListening: $0)
        } _: { port in
            try await body("https://127.0.0.1:\(port)")
        }
    }

    @Test func withoutSecurityAnybodyReads() async throws {
        try await serving {
            MetricsServer(address: freePort(), security: .off, registry: registry, logger: quiet, onListening: $0)
        } _: { port in
            let answer = try await curl("http://127.0.0.1:\(port)/metrics")
            #expect(answer.status == 200)
            #expect(answer.fields["content-type"] == "text/plain; version=0.0.4; charset=utf-8")
            #expect(answer.body.hasPrefix("# HELP answer To all.\n# TYPE answer gauge\nanswer 42\n"))
            let check = try await run("/usr/bin/promtool", ["check", "metrics"], input: answer.body)
            #expect(check.status == 0 && check.errors.isEmpty, "\(check)")
            for path in ["/", "/metrics/", "/healthz", "/debug/pprof"] {
                let other = try await curl("http://127.0.0.1:\(port)\(path)")
                #expect(other.status == 404, "\(path)")
            }
        }
    }

    @Test(
        arguments: [
            ([], 401, "Unauthorized\n"), (["-u", "bob:secret"], 401, "Unauthorized\n"),
            (["-H", "Authorization: Bearer nonsense"], 401, "Unauthorized\n"),
            (["-H", "Authorization: Bearer bob"], 403, "Authorization denied for user bob\n"),
            (
                ["-H", "Authorization: Bearer ghost"], 503,
                "the API server cannot be asked who may read the metrics; the controller's log says why\n"
            ),
        ] as [([String], Int, String)])
    func whoMayNotReadIsTold(options: [String], status: Int, body: String) async throws {
        try await secured { url in
            let answer = try await curl(url + "/metrics", ["-k"] + options)
            #expect(answer.status == status && answer.body == body)
        }
    }

    @Test func whoMayReadIsAskedAboutOnce() async throws {
        try await secured { url in
            for _ in 0..<3 {
                let answer = try await curl(url + "/metrics", ["-k", "-H", "Authorization: Bearer prometheus"])
                #expect(answer.status == 200 && answer.body.contains("\nanswer 42\n"))
            }
            // Nothing is told there, so nobody is asked.
            let other = try await curl(url + "/", ["-k", "-H", "Authorization: Bearer x"])
            #expect(other.status == 404)
        }
        #expect(reviewer.tokens == ["prometheus"])
    }
}
