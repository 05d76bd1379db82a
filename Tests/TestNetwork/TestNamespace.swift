import CLinuxHeaders
import Foundation
import Synchronization
public import TestPrograms

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
    public func start(_ command: String..., environment: [String: String] = [:]) throws -> RunningProgram {
        try RunningProgram(["ip", "netns", "exec", name] + command, environment: environment)
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
    let result = try ProgramRun(command[0], Array(command.dropFirst()), mergesErrors: true)
    guard result.status == 0 else { throw CommandFailure(command: command.joined(separator: " "), output: result.output) }
    return result.output
}
