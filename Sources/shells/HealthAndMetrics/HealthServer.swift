import HTTPServing
public import Logging
public import NIOCore
import NIOHTTP1
public import NIOPosix
public import ServiceLifecycle
import Synchronization

/// One thing that has to be well.
public struct HealthCheck: Sendable {
    public let name: String
    /// Looks at what is known, at once; why it is not well, or nil when it is.
    public let problem: @Sendable () -> String?

    public init(_ name: String, problem: @escaping @Sendable () -> String?) {
        self.name = name
        self.problem = problem
    }

    /// Is well as long as the process answers.
    public static let ping = HealthCheck("ping") { nil }
}

/// Serves `/healthz` and `/readyz` for the kubelet, in the form of controller-runtime's and the API server's: `ok`, or with
/// `?verbose` a line a check; `?exclude=NAME` leaves one out, `/readyz/NAME` asks one alone.
public struct HealthServer: Service {
    public static let flag = "--health-probe-bind-address"

    private let server: EndpointServer

    /// - Parameters:
    ///   - live: fails when only a new process helps; `ping` where there is none.
    ///   - ready: fails while this process is of no use; `ping` where there is none.
    ///   - onListening: told the address in use, once it is.
    /// - Throws: for names that two checks have.
    public init(
        address: ListenAddress, live: [HealthCheck] = [], ready: [HealthCheck],
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton, logger: Logger,
        onListening: @escaping @Sendable (SocketAddress) -> Void = { _ in }
    ) throws(ServingError) {
        let endpoints = [
            try HealthEndpoint(name: "healthz", checks: live, logger: logger),
            try HealthEndpoint(name: "readyz", checks: ready, logger: logger),
        ]
        server = EndpointServer(
            name: "health probes", flag: Self.flag, address: address, transport: .plain,
            limits: EndpointLimits(connections: 256, idle: .seconds(30)), group: group, logger: logger,
            onListening: onListening
        ) { request in
            endpoints.lazy.compactMap { $0.answer(to: request) }.first ?? .notFound
        }
    }

    /// Ends at graceful shutdown, when requests under way are answered.
    /// - Throws: `ServingError` when it cannot listen.
    public func run() async throws { try await server.run() }
}

/// One of the two paths, and what is below it.
struct HealthEndpoint: Sendable {
    let name: String
    private let checks: [HealthCheck]
    private let log: FailureLog

    init(name: String, checks: [HealthCheck], logger: Logger) throws(ServingError) {
        self.name = name
        self.checks = checks.isEmpty ? [.ping] : checks
        log = FailureLog(endpoint: name, logger: logger)
        var names: Set<String> = []
        for check in self.checks where !isCheckName(check.name) || !names.insert(check.name).inserted {
            throw .badCheckName(check.name)
        }
    }

    /// Nil when the request is not for this endpoint.
    func answer(to request: HTTPRequest) -> HTTPAnswer? {
        let path = request.path
        guard path.hasPrefix("/\(name)") else { return nil }
        let rest = path.dropFirst(name.utf8.count + 1)
        if rest.isEmpty || rest == "/" { return answerAll(request.queryItems) }
        guard rest.first == "/", let check = checks.first(where: { $0.name == rest.dropFirst() }) else { return nil }
        guard let problem = check.problem() else { return .text(.ok, "ok") }
        return .text(.internalServerError, "internal server error: \(problem)\n")
    }

    private func answerAll(_ query: [(name: Substring, value: Substring)]) -> HTTPAnswer {
        let excluded = Set(query.filter { $0.name == "exclude" }.map(\.value))
        var failures: [String: String] = [:]
        var lines = ""
        for check in checks {
            if excluded.contains(check.name[...]) {
                lines += "[+]\(check.name) excluded: ok\n"
            } else if let problem = check.problem() {
                failures[check.name] = problem
                // Anybody can ask here; the log and the check's own path tell more.
                lines += "[-]\(check.name) failed: reason withheld\n"
            } else {
                lines += "[+]\(check.name) ok\n"
            }
        }
        if excluded.isEmpty { log.saw(failures) }
        let unknown = excluded.subtracting(checks.map { $0.name[...] }).sorted().map { "\"\($0)\"" }
        if !unknown.isEmpty {
            lines += "warn: some health checks cannot be excluded: no matches for \(unknown.joined(separator: ","))\n"
        }
        guard failures.isEmpty else { return .text(.internalServerError, lines + "\(name) check failed\n") }
        return .text(.ok, query.contains { $0.name == "verbose" } ? lines + "\(name) check passed\n" : "ok")
    }
}

/// A check's name stands in a path.
private func isCheckName(_ name: String) -> Bool {
    !name.isEmpty
        && name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
            case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"): true
            default: false
            }
        }
}

/// Writes a line when the failing checks are others than before, not at each probe.
private final class FailureLog: Sendable {
    private let last = Mutex<[String: String]>([:])
    private let endpoint: String
    private let logger: Logger

    init(endpoint: String, logger: Logger) {
        self.endpoint = endpoint
        self.logger = logger
    }

    func saw(_ failures: [String: String]) {
        let isNews = last.withLock { last in
            defer { last = failures }
            return last.keys != failures.keys
        }
        guard isNews else { return }
        if failures.isEmpty {
            logger.info("all health checks pass again", metadata: ["endpoint": "/\(endpoint)"])
        } else {
            logger.warning(
                "health checks fail",
                metadata: ["endpoint": "/\(endpoint)", "failures": .dictionary(failures.mapValues { "\($0)" })])
        }
    }
}
