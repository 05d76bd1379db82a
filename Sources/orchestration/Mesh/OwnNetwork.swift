import CLinuxHeaders
import Glibc
import HostNetwork
public import Logging
import NetlinkMessages
public import Syscalls

/// A network of a process's own, for users that may not change the host's: user, network and mount namespace (user_namespaces(7)). slirp4netns
/// leads from there to the outside.
///
/// Two processes of this program: the outer one starts the inner one and slirp4netns, and ends with the inner one; the inner one is root of its
/// network, and of nothing else.
public enum OwnNetwork {
    /// What the inner process knows of the outside.
    public struct Inside: Sendable {
        public var user: UInt32
        public var group: UInt32
        /// The mount namespace, as the program that is run has it.
        public var mounts: Descriptor
    }

    /// Why there cannot be one, and what to do.
    public struct Failure: Error, CustomStringConvertible {
        public let description: String
    }

    /// slirp4netns' own of its network (slirp4netns(1)): where it answers for names.
    private static let nameServer = "10.0.2.3"
    private static let device = "tap0"
    /// For the inner process to have its namespaces, and slirp4netns its device.
    private static let patience = Duration.seconds(10)
    /// Between the end of a slirp4netns and the next.
    private static let pause = Duration.seconds(1)
    /// Between two looks at whether it runs.
    private static let pace = Duration.milliseconds(50)

    /// What the inner process is told first, before what it is to do: it calls `enter`.
    public static let argument = "inside"

    // MARK: outside

    /// Runs this program once more, with these arguments, in a network of its own, until it ends. SIGTERM and SIGINT are passed on.
    /// - Parameters:
    ///   - input: its standard input; nil for none.
    ///   - path: where slirp4netns is looked for, as in `PATH`.
    /// - Returns: its exit code, as a shell says it.
    public static func run(
        _ arguments: [String], environment: [String], input: Descriptor?, path: String, logger: Logger
    ) async throws -> Int32 {
        guard let slirp = findProgram("slirp4netns", in: path.split(separator: ":").map(String.init)) else {
            throw Failure(
                description:
                    "--mesh needs root, or slirp4netns for a network of its own, which is not in PATH: install it (the package "
                    + "slirp4netns), or be root")
        }
        var inner = Spawn("/proc/self/exe", [argument] + arguments, environment: environment)
        inner.input = input
        let child = try await Child.start(inner)
        signalled = child.process
        for number in [SIGTERM, SIGINT] { signal(number) { kill(signalled, $0) } }
        guard let network = try await network(of: child) else { return await child.code(patience: .zero) }
        // The end that it has hangs up when this process ends, however it does.
        let ends = try Descriptor.pair()
        var carrier = Spawn(
            slirp,
            ["--configure", "--mtu=65520", "--disable-host-loopback", "--exit-fd=1", "\(child.process)", device],
            environment: environment)
        carrier.output = ends.1
        let carrying = Task { [carrier] in await carry(by: carrier, for: child, logger) }
        let code = await child.code(patience: .zero)
        withExtendedLifetime(ends) {}
        await carrying.value
        endAll(in: network)
        return code
    }

    /// Has slirp4netns run until the child ends: another in the place of one that ended, for without it nothing leads out of the network.
    private static func carry(by carrier: Spawn, for child: Child, _ logger: Logger) async {
        while child.ending == nil {
            let cause: String
            do {
                let carrying = try await Child.start(carrier)
                while child.ending == nil, carrying.ending == nil { try? await Task.sleep(for: pace) }
                guard child.ending == nil, let ending = carrying.ending else {
                    carrying.signal(SIGTERM)
                    _ = await carrying.code(patience: .zero)
                    return
                }
                cause = ending.signal == 0 ? "exit code \(ending.exitCode)" : "signal \(ending.signal)"
            } catch {
                cause = "\(error)"
            }
            logger.error("slirp4netns ended, and is started again", metadata: ["cause": "\(cause)"])
            try? await Task.sleep(for: pause)
        }
    }

    /// Waits until the process has namespaces of its own.
    /// - Returns: the network's name; nil where it ended before.
    private static func network(of child: Child) async throws -> String? {
        let own = try readLink("/proc/self/ns/net")
        let deadline = ContinuousClock.now + patience
        while ContinuousClock.now < deadline {
            if child.ending != nil { return nil }
            let map = (try? Descriptor.contents(of: "/proc/\(child.process)/gid_map", limit: 4096)) ?? []
            if !map.isEmpty, let its = try? readLink("/proc/\(child.process)/ns/net"), its != own { return its }
            try? await Task.sleep(for: .milliseconds(10))
        }
        child.signal(SIGKILL)
        throw Failure(description: "the process within its own network did not start within \(patience)")
    }

    /// Ends what is left in the network, such as a wireguard-go whose starter was killed: nobody would find it again.
    private static func endAll(in network: String) {
        for name in (try? namesInFolder(at: "/proc")) ?? [] {
            guard let process = Int32(name), let its = try? readLink("/proc/\(process)/ns/net"), its == network else { continue }
            kill(process, SIGTERM)
        }
    }

    // MARK: inside

    /// Makes this process, of one thread, root of a network of its own, and waits until slirp4netns leads out of it.
    public static func enter() throws -> Inside {
        // It ends with the outer one.
        _ = tidegate_prctl(PR_SET_PDEATHSIG, UInt(SIGTERM))
        let (user, group) = (geteuid(), getegid())
        do throws(SystemFailure) {
            try calling("unshare") { unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) }
        } catch {
            throw Failure(
                description:
                    "this host gives its users no network of their own (\(error)): let an administrator allow user namespaces "
                    + "(sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone, "
                    + "kernel.apparmor_restrict_unprivileged_userns), or be root")
        }
        try map(user: 0, to: user, group: 0, to: group)
        try Mounts.makePrivate()
        let mounts = try Descriptor.open("/proc/self/ns/mnt", O_RDONLY)
        // From here on the mounts are this process's alone: the program that is run keeps those of before.
        try calling("unshare") { unshare(CLONE_NEWNS) }
        try Mounts.makePrivate()
        try waitForWay()
        try Mounts.replaceResolver(with: Array("nameserver \(nameServer)\n".utf8), covering: Mounts.nameServices)
        // wireguard-go has its socket there, and nobody but root may make the folder.
        for folder in ["/run", "/var/run"] where try fileKind(at: folder) == .folder {
            try Mounts.add(folder: "wireguard", to: folder)
        }
        return Inside(user: user, group: group, mounts: mounts)
    }

    private static func waitForWay() throws {
        let deadline = ContinuousClock.now + patience
        let interfaces = try NetworkInterfaces()
        while ContinuousClock.now < deadline {
            if try interfaces.withDefaultRoute().contains(where: { $0.description == device }) { return }
            usleep(10_000)
        }
        throw Failure(description: "slirp4netns made no way out within \(patience); what does it print?")
    }

    /// Says who this process is: in its new user namespace the first of each pair, outside of it the second.
    static func map(user: UInt32, to outerUser: UInt32, group: UInt32, to outerGroup: UInt32) throws(SystemFailure) {
        // Groups can be given up by it, which would give rights away (user_namespaces(7)).
        try write("deny", to: "/proc/self/setgroups")
        try write("\(user) \(outerUser) 1", to: "/proc/self/uid_map")
        try write("\(group) \(outerGroup) 1", to: "/proc/self/gid_map")
    }

    private static func write(_ text: String, to file: String) throws(SystemFailure) {
        try Descriptor.open(file, O_WRONLY).writeAll(Array(text.utf8))
    }
}

/// Whom SIGTERM and SIGINT are passed on to; a handler has no other way to know.
nonisolated(unsafe) private var signalled: Int32 = 0
