import CLinuxHeaders
import Glibc
public import Logging
public import Syscalls

/// A program that is run with a resolv.conf of its own, by this program itself started once more: mounts are of whole processes.
public struct InnerCommand: Sendable {
    /// The program, which is looked for in `PATH`, and what it is told.
    public var words: [String]
    /// All of it, `NAME=value`.
    public var environment: [String]
    /// Nil for none.
    public var input: Descriptor?
    /// Where this process is root of a network of its own: what it was outside of it, which the program is again.
    public var network: OwnNetwork.Inside?

    /// The subcommand that is `enter`.
    public static let subcommand = "within"
    /// After it was told to end.
    private static let patience = Duration.seconds(10)

    public init(_ words: [String], environment: [String], input: Descriptor? = nil, network: OwnNetwork.Inside? = nil) {
        self.words = words
        self.environment = environment
        self.input = input
        self.network = network
    }

    /// Runs it until it ends, or the task is cancelled; then it has some seconds.
    /// - Parameter resolver: the text of its resolv.conf; nil leaves it that of this host.
    /// - Returns: its exit code, as a shell says it.
    public func run(resolver: String?, logger: Logger) async throws -> Int32 {
        var arguments = [Self.subcommand]
        var file: String?
        if let resolver {
            let name = try writeTemporaryFile(Array(resolver.utf8))
            file = name
            arguments += ["--resolv-conf", name]
        }
        defer { if let file { unlink(file) } }
        if let network {
            arguments += ["--user", "\(network.user)", "--group", "\(network.group)"]
            arguments += ["--mounts", "/proc/\(getpid())/fd/\(network.mounts.number)"]
        }
        var spawn = Spawn("/proc/self/exe", arguments + ["--"] + words, environment: environment)
        spawn.input = input
        let child = try await Child.start(spawn)
        logger.info("the command runs", metadata: ["program": "\(words[0])", "process": "\(child.process)"])
        let code = await child.code(patience: Self.patience)
        logger.info("the command ended", metadata: ["code": "\(code)"])
        return code
    }

    // MARK: the process itself

    /// Becomes the program: with the resolv.conf, and where it is of a network of its own with the mounts and the user of outside.
    /// - Returns: only when that failed.
    public static func enter(
        _ words: [String], resolver: String?, mounts: String?, user: UInt32?, group: UInt32?
    ) -> SystemFailure {
        do throws(SystemFailure) {
            // It ends with who started it.
            _ = tidegate_prctl(PR_SET_PDEATHSIG, UInt(SIGTERM))
            if let mounts {
                let namespace = try Descriptor.open(mounts, O_RDONLY)
                try calling("setns") { setns(namespace.number, CLONE_NEWNS) }
            }
            try calling("unshare") { unshare(CLONE_NEWNS) }
            try Mounts.makePrivate()
            if let resolver {
                try Mounts.replaceResolver(
                    with: Descriptor.contents(of: resolver, limit: 64 << 10), covering: Mounts.nameServices)
            }
            if let user, let group {
                try calling("unshare") { unshare(CLONE_NEWUSER) }
                try OwnNetwork.map(user: user, to: 0, group: group, to: 0)
            }
        } catch {
            return error
        }
        return replaceProcess(words[0], words, searchesPath: true)
    }
}
