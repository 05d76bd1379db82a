import EdgeAPI
import Glibc
public import Logging
import ManifestStore

/// Runs the first uplink of an EdgeNode on this host, as a process that outlives the controller: stopping `tidegate standalone`
/// stops no traffic, and the next start finds the process again by its pid file.
///
/// There is one `wg-uplink` a host, so one EdgeNode at a time.
public actor LocalUplinks {
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
        reapChildren()
        if let process = ProcessIdentity(pidFile: pidFile(files)), process.isAlive { return }
        let process = try start(node: node, files: files)
        logger.info("started the uplink", metadata: ["edgeNode": "\(node)", "pid": "\(process.pid)"])
        try process.write(to: pidFile(files))
    }

    /// Asks the node's uplink to drain and go, and waits for it.
    func stop(node: ObjectName, files: UplinkFiles) async {
        if running?.node == node { running = nil }
        guard let process = ProcessIdentity(pidFile: pidFile(files)), process.isAlive else { return }
        kill(process.pid, SIGTERM)
        // Drain window (15 s) and teardown, with room to spare.
        for _ in 0..<250 {
            reapChildren()
            guard process.isAlive else { break }
            try? await Task.sleep(for: .milliseconds(100))
        }
        if process.isAlive {
            logger.warning("the uplink does not go; killing it", metadata: ["edgeNode": "\(node)", "pid": "\(process.pid)"])
            kill(process.pid, SIGKILL)
        }
        unlink(pidFile(files))
    }

    private func pidFile(_ files: UplinkFiles) -> String { "\(files.folder)/uplink.pid" }

    private func start(node: ObjectName, files: UplinkFiles) throws(LocalUplinkError) -> ProcessIdentity {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(
            &actions, STDOUT_FILENO, "\(files.folder)/uplink.log", O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        // A session of its own: a Ctrl-C for the controller is none for the traffic.
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(Self.setSession | POSIX_SPAWN_SETSIGMASK))

        let argv = cStrings([program, "--config", files.document, "--keys", files.keys] + arguments)
        let envp = cStrings(environment + ["POD_NAME=\(node.name)-uplink-0"])
        defer { for pointer in argv + envp { free(pointer) } }
        var pid = pid_t()
        let result = posix_spawn(&pid, program, &actions, &attributes, argv, envp)
        guard result == 0, let process = ProcessIdentity(pid: pid) else {
            throw LocalUplinkError("the uplink \(program) cannot be started: \(String(cString: strerror(result)))")
        }
        return process
    }

    private func reapChildren() {
        guard let files = running?.files, let process = ProcessIdentity(pidFile: pidFile(files)) else { return }
        var status: Int32 = 0
        waitpid(process.pid, &status, WNOHANG)
    }
}

/// The local uplink could not be run.
struct LocalUplinkError: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// A null-terminated array of copies; the caller frees each.
private func cStrings(_ strings: [String]) -> [UnsafeMutablePointer<CChar>?] { strings.map { strdup($0) } + [nil] }
