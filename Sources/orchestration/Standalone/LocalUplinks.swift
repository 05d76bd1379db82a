import EdgeAPI
import Glibc
public import Logging
import ManifestStore
import NetworkTypes
import NodeDocument
import Sodium
import Syscalls

/// Runs the first uplink of an EdgeNode on this host, as a process that outlives the controller: stopping `tidegate standalone`
/// stops no traffic, and the next start finds the process again by its pid file.
///
/// There is one `wg-uplink` a host, so one EdgeNode at a time; and one port for the status, so links make no difference.
public actor LocalUplinks {
    /// Its calls wait for processes and files.
    private let executor = BlockingExecutor("tidegate.uplinks")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    private let program: String
    private let arguments: [String]
    private let environment: [String]
    private let logger: Logger
    private let mayMakeTunnels: Bool
    private var running: Running?

    private struct Running {
        var node: ObjectName
        var files: UplinkFiles
        /// `NAME=value` each; handed to the process, and kept nowhere else.
        var proxy: [SecretBytes]
        /// The folder; nil for none.
        var clientCertificate: String?
    }

    /// - Parameters:
    ///   - program: the `uplink` executable.
    ///   - arguments: what it gets besides `--config` and `--keys`.
    ///   - environment: `NAME=value` each; `POD_NAME` is added.
    ///   - mayMakeTunnels: whether the uplink may have what WireGuard needs; nil looks at this process's capabilities.
    public init(program: String, arguments: [String], environment: [String], mayMakeTunnels: Bool? = nil, logger: Logger) {
        self.mayMakeTunnels = mayMakeTunnels ?? hasNetAdmin()
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.logger = logger
    }

    /// Makes sure that the node's uplink runs.
    func run(
        node: ObjectName, files: UplinkFiles, carriers: [TunnelCarrier] = [.wireGuard], proxy: [SecretBytes] = [],
        clientCertificate: String? = nil
    ) async throws(LocalUplinkError) {
        if let running, running.node != node {
            throw LocalUplinkError(
                "the uplink of EdgeNode \(running.node) runs on this host already, and a host has room for one; "
                    + "start standalone with --uplinks files, and run the uplink of \(node) elsewhere from \(files.folder)")
        }
        if !mayMakeTunnels, carriers.contains(.wireGuard) {
            let problem =
                "WireGuard is among spec.tunnel.carriers of EdgeNode \(node), and the uplink on this host may not make its interface"
            let advice = "run tidegate as root, or let links alone carry: TLS, WebSocket"
            guard carriers.contains(where: \.isLink) else { throw LocalUplinkError("\(problem): \(advice)") }
            if running == nil { logger.warning("\(problem); the links alone carry", metadata: ["advice": "\(advice)"]) }
        }
        // A process takes both at its start.
        if let running, running.proxy != proxy || running.clientCertificate != clientCertificate {
            await stop(node: node, files: running.files)
        }
        running = Running(node: node, files: files, proxy: proxy, clientCertificate: clientCertificate)
        try keepAlive()
    }

    /// Starts the uplink again when it died. Called every few seconds.
    func keepAlive() throws(LocalUplinkError) {
        guard let running else { return }
        if let process = ProcessIdentity(pidFile: pidFile(running.files)), isRunning(process) { return }
        let process = try start(running)
        logger.info("started the uplink", metadata: ["edgeNode": "\(running.node)", "pid": "\(process.pid)"])
        try process.write(to: pidFile(running.files))
    }

    /// Asks the node's uplink to drain and go, and waits for it.
    func stop(node: ObjectName, files: UplinkFiles) async {
        if running?.node == node { running = nil }
        guard let process = ProcessIdentity(pidFile: pidFile(files)), isRunning(process) else { return }
        kill(process.pid, SIGTERM)
        // Drain window (15 s) and teardown, with room to spare.
        if await !ends(process, within: .seconds(25)) {
            logger.warning("the uplink does not go; killing it", metadata: ["edgeNode": "\(node)", "pid": "\(process.pid)"])
            kill(process.pid, SIGKILL)
            _ = await ends(process, within: .seconds(1))
        }
        unlink(pidFile(files))
    }

    private func ends(_ process: ProcessIdentity, within limit: Duration) async -> Bool {
        let deadline = ContinuousClock.now + limit
        while isRunning(process) {
            guard ContinuousClock.now < deadline else { return false }
            try? await Task.sleep(for: .milliseconds(100))
        }
        return true
    }

    /// What holds the node's uplink up, in its own words; nil for nothing, and where it runs elsewhere.
    func complaint(node: ObjectName) -> String? {
        guard running?.node == node else { return nil }
        let question = Spawn(program, ["healthz", "--timeout", "1"], environment: environment)
        guard let answer = (try? question.run(.withOutput, limit: 4096, until: .now + .seconds(10))) ?? nil else { return nil }
        // Whether it lives is looked after elsewhere.
        let words = String(decoding: answer.output, as: UTF8.self)
        return LivenessAnswer(parsing: words).complaint.map { printable($0, limit: 400) }
    }

    private func pidFile(_ files: UplinkFiles) -> String { "\(files.folder)/uplink.pid" }

    private func start(_ running: Running) throws(LocalUplinkError) -> ProcessIdentity {
        let (node, files) = (running.node, running.files)
        let proxy = running.proxy.map { $0.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } }
        do throws(SystemFailure) {
            let log = try Descriptor.open("\(files.folder)/uplink.log", O_WRONLY | O_CREAT | O_APPEND, mode: 0o600)
            var spawn = Spawn(
                program,
                ["--config", files.document, "--keys", files.keys]
                    + (running.clientCertificate.map { ["--client-certificate", $0] } ?? []) + arguments,
                environment: environment + proxy + ["POD_NAME=\(node.name)-uplink-0"])
            spawn.output = log
            spawn.errors = log
            // A Ctrl-C for the controller is none for the traffic.
            spawn.startsSession = true
            if let process = ProcessIdentity(pid: try spawn.start()) { return process }
        } catch {
            throw LocalUplinkError("the uplink \(program) cannot be started: \(error.reason)")
        }
        throw LocalUplinkError("the uplink \(program) cannot be started: it ended at once")
    }

    /// Reaps it where it has ended and is this process's child.
    private func isRunning(_ process: ProcessIdentity) -> Bool {
        guard !process.isAlive else { return true }
        _ = try? endedChild(process.pid)
        return false
    }
}

/// Whether this process has CAP_NET_ADMIN, bit 12 of capabilities(7).
private func hasNetAdmin() -> Bool {
    let line = (readSmallFile("/proc/self/status") ?? "").split(separator: "\n").first { $0.hasPrefix("CapEff:") }
    guard let digits = line?.dropFirst("CapEff:".count).drop(while: \.isWhitespace) else { return geteuid() == 0 }
    return UInt64(digits, radix: 16).map { $0 >> 12 & 1 == 1 } ?? false
}

/// The local uplink could not be run.
struct LocalUplinkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}
