import EdgeAPI
import Glibc
public import Logging
import ManifestStore
import NetworkTypes

/// Runs the first uplink of an EdgeNode on this host, as a process that outlives the controller: stopping `tidegate standalone`
/// stops no traffic, and the next start finds the process again by its pid file.
///
/// There is one `wg-uplink` a host, so one EdgeNode at a time.
public actor LocalUplinks {
    /// Its calls wait for processes and files.
    private let executor = BlockingExecutor("tidegate.uplinks")
    public nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// `POSIX_SPAWN_SETSID` of glibc's spawn.h, which Swift does not import.
    private static let setSession: Int32 = 0x80

    private let program: String
    private let arguments: [String]
    private let environment: [String]
    private let logger: Logger
    private var running: (node: ObjectName, files: UplinkFiles)?

    /// - Parameters:
    ///   - program: the `uplink` executable.
    ///   - arguments: what it gets besides `--config` and `--keys`.
    ///   - environment: `NAME=value` each; `POD_NAME` is added.
    public init(program: String, arguments: [String], environment: [String], logger: Logger) {
        self.program = program
        self.arguments = arguments
        self.environment = environment
        self.logger = logger
    }

    /// Makes sure that the node's uplink runs.
    func run(node: ObjectName, files: UplinkFiles) throws(LocalUplinkError) {
        if let running, running.node != node {
            throw LocalUplinkError(
                "the uplink of EdgeNode \(running.node) runs on this host already, and a host has room for one; "
                    + "start standalone with --uplinks files, and run the uplink of \(node) elsewhere from \(files.folder)")
        }
        running = (node, files)
        try keepAlive()
    }

    /// Starts the uplink again when it died. Called every few seconds.
    func keepAlive() throws(LocalUplinkError) {
        guard let (node, files) = running else { return }
        if let process = ProcessIdentity(pidFile: pidFile(files)), isRunning(process) { return }
        let process = try start(node: node, files: files)
        logger.info("started the uplink", metadata: ["edgeNode": "\(node)", "pid": "\(process.pid)"])
        try process.write(to: pidFile(files))
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
        guard let (owner, files) = running, owner == node else { return nil }
        let path = "\(files.folder)/uplink.word"
        unlink(path)
        defer { unlink(path) }
        guard case .success(let pid) = spawn(["healthz", "--timeout", "1"], output: path, O_WRONLY | O_CREAT | O_EXCL, []) else {
            return nil
        }
        var status: Int32 = 0
        while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
        // Whether it lives is looked after elsewhere.
        return LivenessAnswer(parsing: read(path)).complaint.map { printable($0, limit: 400) }
    }

    private func read(_ path: String) -> String {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { return "" }
        defer { close(descriptor) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let count = Glibc.read(descriptor, &bytes, bytes.count)
        return String(decoding: bytes.prefix(max(0, count)), as: UTF8.self)
    }

    private func pidFile(_ files: UplinkFiles) -> String { "\(files.folder)/uplink.pid" }

    private func start(node: ObjectName, files: UplinkFiles) throws(LocalUplinkError) -> ProcessIdentity {
        let result = spawn(
            ["--config", files.document, "--keys", files.keys] + arguments, output: "\(files.folder)/uplink.log",
            O_WRONLY | O_CREAT | O_APPEND, ["POD_NAME=\(node.name)-uplink-0"])
        guard case .success(let pid) = result, let process = ProcessIdentity(pid: pid) else {
            throw LocalUplinkError("the uplink \(program) cannot be started: \(result.reason ?? "it ended at once")")
        }
        return process
    }

    private enum Spawned {
        case success(pid_t)
        case failure(Int32)

        var reason: String? {
            if case .failure(let code) = self { String(cString: strerror(code)) } else { nil }
        }
    }

    /// - Parameter more: of the environment.
    private func spawn(_ arguments: [String], output: String, _ flags: Int32, _ more: [String]) -> Spawned {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, output, flags, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // What this process ignores or holds back, its children shall not.
        var signals = sigset_t()
        sigfillset(&signals)
        posix_spawnattr_setsigdefault(&attributes, &signals)
        sigemptyset(&signals)
        posix_spawnattr_setsigmask(&attributes, &signals)
        // A session of its own: a Ctrl-C for the controller is none for the traffic.
        let flags = Self.setSession | Int32(POSIX_SPAWN_SETSIGMASK) | Int32(POSIX_SPAWN_SETSIGDEF)
        posix_spawnattr_setflags(&attributes, Int16(flags))

        let argv = cStrings([program] + arguments)
        let envp = cStrings(environment + more)
        defer { for pointer in argv + envp { free(pointer) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, program, &actions, &attributes, argv, envp)
        return result == 0 ? .success(pid) : .failure(result)
    }

    /// Reaps it where it has ended and is this process's child.
    private func isRunning(_ process: ProcessIdentity) -> Bool {
        guard !process.isAlive else { return true }
        var status: Int32 = 0
        waitpid(process.pid, &status, WNOHANG)
        return false
    }
}

/// The local uplink could not be run.
struct LocalUplinkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A null-terminated array of copies; the caller frees each.
private func cStrings(_ strings: [String]) -> [UnsafeMutablePointer<CChar>?] { strings.map { strdup($0) } + [nil] }
