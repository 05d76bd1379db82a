import Glibc
import Testing

@testable import PrometheusMetrics

@Suite struct ProcessMetricsTests {
    @Test func theProgramsNameMayHoldAnything() throws {
        // 12345 is the start, 8192 the bytes, 2 the pages.
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194304 1 0 0 0 150 50 0 0 20 0 4 0 12345 8192 2 18446744073709551615 1"
        let stat = try #require(ProcessMetrics.Stat(line))
        #expect(stat.userTicks == 150 && stat.systemTicks == 50)
        #expect(stat.startTicks == 12345 && stat.virtualBytes == 8192 && stat.residentPages == 2)
        #expect(ProcessMetrics.Stat("7 (a) S 1 2") == nil)
        #expect(ProcessMetrics.Stat("") == nil)
    }

    @Test func theBootTimeIsFound() {
        #expect(ProcessMetrics.bootTime("cpu 1 2\nbtime 1795255200\nprocesses 1\n") == 1_795_255_200)
        #expect(ProcessMetrics.bootTime("cpu 1 2\n") == nil)
    }

    @Test func thisProcessIsTold() throws {
        let registry = MetricRegistry()
        try ProcessMetrics.register(in: registry)
        let values = Dictionary(
            uniqueKeysWithValues: registry.render().split(separator: "\n").filter { !$0.hasPrefix("#") }.map { line in
                let parts = line.split(separator: " ")
                return (String(parts[0]), Double(parts[1]) ?? .nan)
            })
        #expect(values.count == 6)
        let files = try #require(values["process_open_fds"])
        #expect(files >= 3 && files <= values["process_max_fds"] ?? 0)
        #expect(values["process_resident_memory_bytes"] ?? 0 > 1_048_576)
        #expect(values["process_virtual_memory_bytes"] ?? 0 >= values["process_resident_memory_bytes"] ?? .infinity)
        #expect(values["process_cpu_seconds_total"] ?? 0 > 0)
        let start = try #require(values["process_start_time_seconds"])
        #expect(start > 1_600_000_000 && start < wallClock() + 2)
    }
}
