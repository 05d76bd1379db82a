import Glibc
import Syscalls

/// What `/proc` tells of this process, under the names of client_golang's process collector.
public enum ProcessMetrics {
    /// A family is left out of a scrape where `/proc` does not tell.
    public static func register(in registry: MetricRegistry) throws(MetricError) {
        let boot = contents(of: "/proc/stat").flatMap(bootTime)
        let page = Double(sysconf(Int32(_SC_PAGESIZE)))
        let tick = Double(sysconf(Int32(_SC_CLK_TCK)))
        func add(
            _ kind: MetricFamily.Kind, _ name: String, _ help: String, _ value: @escaping @Sendable () -> Double?
        ) throws(MetricError) {
            try registry.register(MetricFamily(kind, name, help: help)) { value().map { [Sample($0)] } ?? [] }
        }
        try add(.counter, "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.") {
            own().map { Double($0.userTicks + $0.systemTicks) / tick }
        }
        try add(.gauge, "process_open_fds", "Number of open file descriptors.") { openFiles().map(Double.init) }
        try add(.gauge, "process_max_fds", "Maximum number of open file descriptors.") {
            var limit = rlimit()
            guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
            return Double(limit.rlim_cur)
        }
        try add(.gauge, "process_virtual_memory_bytes", "Virtual memory size in bytes.") { own().map { Double($0.virtualBytes) } }
        try add(.gauge, "process_resident_memory_bytes", "Resident memory size in bytes.") {
            own().map { Double($0.residentPages) * page }
        }
        try add(.gauge, "process_start_time_seconds", "Start time of the process since unix epoch in seconds.") {
            guard let boot, let process = own() else { return nil }
            return Double(boot) + Double(process.startTicks) / tick
        }
    }

    /// What of proc_pid_stat(5) is told on.
    struct Stat: Hashable {
        var userTicks: UInt64
        var systemTicks: UInt64
        /// Since boot.
        var startTicks: UInt64
        var virtualBytes: UInt64
        var residentPages: UInt64

        /// Nil where the line is not of that form.
        init?(_ line: String) {
            // The program's name comes first, in parentheses, and may hold anything.
            guard let end = line.lastIndex(of: ")") else { return nil }
            let fields = line[line.index(after: end)...].split(separator: " ")
            // Field 3 of the manual is the first here.
            func field(_ number: Int) -> UInt64? { fields.count > number - 3 ? UInt64(fields[number - 3]) : nil }
            guard let user = field(14), let system = field(15), let start = field(22), let virtual = field(23),
                let resident = field(24)
            else { return nil }
            userTicks = user
            systemTicks = system
            startTicks = start
            virtualBytes = virtual
            residentPages = resident
        }
    }

    /// Seconds since 1970, from `/proc/stat`.
    static func bootTime(_ text: String) -> UInt64? {
        text.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { UInt64($0.dropFirst(6)) }
    }

    private static func own() -> Stat? { contents(of: "/proc/self/stat").flatMap(Stat.init) }

    /// Without the two that listing them takes.
    private static func openFiles() -> Int? { (try? namesInFolder(at: "/proc/self/fd")).map { $0.count - 2 } }

    private static func contents(of path: String) -> String? {
        (try? Descriptor.contents(of: path, limit: 1 << 24)).map { String(decoding: $0, as: UTF8.self) }
    }
}
