import HTTPServing
import NIOHTTP1
import Synchronization
import Testing

@testable import HealthAndMetrics

@Suite struct HealthEndpointTests {
    private func answer(_ path: String, _ checks: [HealthCheck]) throws -> HTTPAnswer? {
        try HealthEndpoint(name: "readyz", checks: checks, logger: quiet)
            .answer(to: HTTPRequest(.GET, path))
    }

    private let good = HealthCheck("informers") { nil }
    private let bad = HealthCheck("agent") { "no bundle in /opt/tidegate" }

    @Test(arguments: [
        ("/readyz", "ok"), ("/readyz/", "ok"), ("/readyz?verbose", "[+]ping ok\n[+]informers ok\nreadyz check passed\n"),
        ("/readyz?verbose=1&x", "[+]ping ok\n[+]informers ok\nreadyz check passed\n"), ("/readyz/informers", "ok"),
        ("/readyz?verbose&exclude=informers", "[+]ping ok\n[+]informers excluded: ok\nreadyz check passed\n"),
        (
            "/readyz?verbose&exclude=z&exclude=a",
            "[+]ping ok\n[+]informers ok\nwarn: some health checks cannot be excluded: no matches for \"a\",\"z\"\n"
                + "readyz check passed\n"
        ),
    ])
    func wellIsToldAsTheAPIServerDoes(path: String, body: String) throws {
        #expect(try answer(path, [.ping, good]) == .text(.ok, body))
    }

    @Test func aFailureTellsWhichButNotWhy() throws {
        #expect(
            try answer("/readyz", [good, bad])
                == .text(
                    .internalServerError, "[+]informers ok\n[-]agent failed: reason withheld\nreadyz check failed\n"))
        #expect(
            try answer("/readyz/agent", [good, bad])
                == .text(.internalServerError, "internal server error: no bundle in /opt/tidegate\n"))
        #expect(try answer("/readyz?exclude=agent", [good, bad]) == .text(.ok, "ok"))
    }

    @Test(arguments: ["/", "/readyzz", "/readyz/none", "/readyz/ping/", "/healthz", "", "readyz"])
    func otherPathsAreNotItsOwn(path: String) throws {
        #expect(try answer(path, [.ping]) == nil)
    }

    @Test func withoutChecksThereIsPing() throws {
        #expect(try answer("/readyz?verbose", []) == .text(.ok, "[+]ping ok\nreadyz check passed\n"))
    }

    @Test(arguments: [["a", "a"], [""], ["a/b"], ["a?b"]]) func badNamesAreRefused(names: [String]) {
        #expect(throws: ServingError.badCheckName(names.last ?? "")) {
            try HealthEndpoint(name: "readyz", checks: names.map { HealthCheck($0) { nil } }, logger: quiet)
        }
    }
}
