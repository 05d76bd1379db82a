import CLinuxHeaders
public import Foundation
import Synchronization

/// The path of the wireguard-go that is shipped (deploy/agent/wireguard-go).
public func shippedWireGuardGo() throws -> String {
    let top = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
    return try run(top.appending(path: "deploy/agent/wireguard-go").path, "--cached").trimmingCharacters(
        in: .whitespacesAndNewlines)
}

/// A network namespace of one test, gone with the value: its processes too.
public final class TestNamespace: Sendable {
    public let name: String

    private static let counter = Atomic(0)

    /// - Parameter prefix: at most eight letters; the process and a counter make the name unique.
    public init(_ prefix: String) throws {
        let (number, _) = Self.counter.add(1, ordering: .relaxed)
        name = "\(prefix)-\(getpid())-\(number)"
        try Self.removeLeftovers(of: prefix)
        try run("ip", "netns", "add", name)
        try execute("ip", "link", "set", "lo", "up")
    }

    deinit {
        let pids = (try? run("ip", "netns", "pids", name)) ?? ""
        for pid in pids.split(separator: "\n").compactMap({ pid_t($0) }) { kill(pid, SIGKILL) }
        _ = try? run("ip", "netns", "del", name)
    }

    /// Namespaces that a killed test run left behind.
    private static func removeLeftovers(of prefix: String) throws {
        for line in try run("ip", "netns", "list").split(separator: "\n") {
            let name = line.prefix { $0 != " " }
            let parts = name.split(separator: "-")
            guard parts.count == 3, parts[0] == prefix, let pid = pid_t(parts[1]), kill(pid, 0) != 0 else { continue }
            _ = try? run("ip", "netns", "del", String(name))
        }
    }

    /// Runs a program inside and waits for it.
    @discardableResult
    public func execute(_ command: String...) throws -> String { try run(["ip", "netns", "exec", name] + command) }

    @discardableResult
    public func execute(_ command: [String]) throws -> String { try run(["ip", "netns", "exec", name] + command) }

    /// Starts a program inside; it ends with the namespace at the latest.
    @discardableResult
    public func start(_ command: String..., environment: [String: String] = [:]) throws -> Process {
        try startProcess(["ip", "netns", "exec", name] + command, environment: environment)
    }

    /// Two namespaces and a cable between them.
    public func connect(
        to other: TestNamespace, interfaces: (String, String), addresses: (String, String), mtu: Int = 1500
    ) throws {
        try run(
            "ip", "link", "add", interfaces.0, "netns", name, "type", "veth", "peer", "name", interfaces.1, "netns", other.name)
        for (namespace, interface, address) in [(self, interfaces.0, addresses.0), (other, interfaces.1, addresses.1)] {
            try namespace.execute("ip", "address", "add", address, "dev", interface)
            try namespace.execute("ip", "link", "set", interface, "mtu", "\(mtu)", "up")
        }
    }

    /// Runs `body` on a thread that lives inside; its sockets belong to the namespace. It must resume no task and touch no queue: a
    /// thread that Swift's pool starts then would be in the namespace as well, and so would whatever runs on it later.
    public func inside<Result: Sendable>(_ body: @escaping @Sendable () throws -> Result) throws -> Result {
        let outcome = Mutex<Swift.Result<Result, any Error>?>(nil)
        let done = DispatchSemaphore(value: 0)
        let name = self.name
        Thread.detachNewThread {
            let result = Swift.Result<Result, any Error> {
                let descriptor = open("/run/netns/\(name)", O_RDONLY | O_CLOEXEC)
                defer { close(descriptor) }
                guard descriptor >= 0, setns(descriptor, 0x4000_0000) == 0 else {
                    throw CommandFailure(command: "setns \(name)", output: String(cString: strerror(errno)))
                }
                return try body()
            }
            outcome.withLock { $0 = result }
            done.signal()
        }
        done.wait()
        guard let result = outcome.withLock({ $0 }) else { throw CommandFailure(command: "setns \(name)", output: "no result") }
        return try result.get()
    }
}

/// A program of a test that failed.
public struct CommandFailure: Error, CustomStringConvertible {
    public let command: String
    public let output: String
    public var description: String { "\(command): \(output)" }
}

/// Runs a program, found by PATH, and waits for it.
/// - Returns: what it printed.
@discardableResult
public func run(_ command: String...) throws -> String { try run(command) }

@discardableResult
public func run(_ command: [String]) throws -> String {
    var pipes: [Int32] = [-1, -1]
    guard pipe(&pipes) == 0 else { throw CommandFailure(command: "pipe", output: String(cString: strerror(errno))) }
    let (readEnd, writeEnd) = (pipes[0], pipes[1])
    defer { close(readEnd) }
    // Not Foundation's Process: that waits until every heir of its descriptors has ended, daemons too.
    var actions = posix_spawn_file_actions_t()
    posix_spawn_file_actions_init(&actions)
    defer { posix_spawn_file_actions_destroy(&actions) }
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
    posix_spawn_file_actions_adddup2(&actions, writeEnd, 1)
    posix_spawn_file_actions_adddup2(&actions, writeEnd, 2)
    posix_spawn_file_actions_addclosefrom_np(&actions, 3)
    // SwiftNIO ignores SIGPIPE in the whole process, and a shell that inherits that writes into a broken pipe for ever.
    var attributes = posix_spawnattr_t()
    posix_spawnattr_init(&attributes)
    defer { posix_spawnattr_destroy(&attributes) }
    var ordinary = sigset_t()
    sigemptyset(&ordinary)
    sigaddset(&ordinary, SIGPIPE)
    posix_spawnattr_setsigdefault(&attributes, &ordinary)
    posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGDEF))
    var arguments: [UnsafeMutablePointer<CChar>?] = command.map { strdup($0) } + [nil]
    defer { for argument in arguments { free(argument) } }
    var pid: pid_t = 0
    let code = posix_spawnp(&pid, command[0], &actions, &attributes, &arguments, environ)
    close(writeEnd)
    guard code == 0 else { throw CommandFailure(command: command[0], output: String(cString: strerror(code))) }
    let output = String(decoding: FileHandle(fileDescriptor: readEnd).readDataToEndOfFile(), as: UTF8.self)
    var status: Int32 = 0
    while waitpid(pid, &status, 0) < 0 && errno == EINTR {}
    guard status == 0 else { throw CommandFailure(command: command.joined(separator: " "), output: output) }
    return output
}

/// Starts a program; its output goes to the test's own.
public func startProcess(_ command: [String], environment: [String: String] = [:]) throws -> Process {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = ["--default-signal=PIPE"] + command
    process.environment = ProcessInfo.processInfo.environment.merging(environment) { $1 }
    process.standardInput = FileHandle.nullDevice
    try process.run()
    return process
}
