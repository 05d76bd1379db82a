import EnvoyConfig
import Foundation
import HostNetwork
import Logging
import NetworkTypes
import NodeDocument
import RouteNetlink
import Sodium
import Synchronization
import TestNetwork
import TestPrograms
import WireGuardNetlink

@testable import NodeAgent

/// The agent in a namespace and a folder of its own, with a real Envoy; only systemd and the tunnel are played.
final class EnvoyHostFixture: Sendable {
    let namespace: TestNamespace
    let root: String
    let paths: HostPaths
    private let envoy = Mutex<RunningProgram?>(nil)
    private let prober = Mutex<RunningProgram?>(nil)
    private let version = "1.40.0"

    init() throws {
        namespace = try TestNamespace("agent")
        root = "/var/tmp/tidegate-agent-\(namespace.name)"
        paths = HostPaths(root: root)
        for folder in ["/etc/systemd/system", "/usr/local/lib/tidegate", "/run", "/dev/net"] {
            try makeFolder(root + folder, .publicFolder)
        }
        // Envoy runs as root here; users of other processes tell whose a socket is.
        try replaceFile(paths.passwd, Array("\(envoyUser):x:0:0::/:/\n".utf8), .publicFile)
        try replaceFile(paths.tunnelDevice, [], .publicFile)
        try namespace.execute("ip", "address", "add", "10.200.0.1/24", "dev", "lo")
        let binary = EnvoyBinary(paths: paths)
        // By another process: a file open for writing here could be inherited by a child of another test, and then not be run.
        let copy = try Command("/bin/cp", [try Self.envoyProgram(), binary.incomingPath()]).run()
        guard copy.succeeded else { throw AgentError(.system, "no Envoy (run Tests/Lab/setup): \(copy.complaint)") }
        try binary.install(binary.incomingPath(), version: version, sha256: SHA256.digest(of: "any"), host: host)
    }

    deinit {
        prober.withLock { process in
            guard let process, process.isRunning else { return }
            kill(process.processIdentifier, SIGKILL)
        }
        try? FileManager.default.removeItem(atPath: root)
    }

    /// `TIDEGATE_ENVOY`, or the one that `Tests/Lab/setup` unpacked.
    private static func envoyProgram() throws -> String {
        let environment = ProcessInfo.processInfo.environment
        if let path = environment["TIDEGATE_ENVOY"] { return path }
        let cache = environment["TIDEGATE_CACHE"] ?? repository + ".cache"
        return cache + "/envoy/1.40.0/envoy"
    }

    /// With a final slash.
    static var repository: String {
        URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent().path()
    }

    func apply(_ document: RelayDocument) throws -> AgentReport {
        let input = try DocumentJSON.encode(document)
        let host = host
        return try namespace.inside { Agent(host: host).apply(input) }
    }

    func document(epoch: UInt64, _ bindings: [RelayBinding]) throws -> RelayDocument {
        let content = RelayContent(
            wireGuard: RelayWireGuard(
                listenPort: try Port(51821), address: try IPv4Address(parsing: "10.200.0.1"),
                network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, peers: []),
            host: HostTuning(kernelMaxSocketBufferBytes: 0, disableNicOffloads: false),
            envoy: RelayEnvoy(
                release: EnvoyRelease(version: version, sha256: nil, url: nil), bridge: .readOnly,
                probing: UplinkProbing(intervalMilliseconds: 1000, timeoutMilliseconds: 2000, unhealthyThreshold: 2),
                bindings: bindings, maxConnections: 32768, drainSeconds: 900))
        return try document(epoch: epoch, content)
    }

    func document(epoch: UInt64, _ content: RelayContent) throws -> RelayDocument {
        return RelayDocument(
            agentBuild: "test", owner: Owner(installation: "i", namespace: "n", name: "edge"), epoch: epoch,
            hash: try content.digest(),
            content: content)
    }

    /// A namespace has no settings of ours to change, and no Envoy of another test sees these.
    private var host: NodeAgent.Host {
        let paths = paths
        let socket = paths.settings + "/envoy-admin.sock"
        return NodeAgent.Host(
            paths: paths, build: "test", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
            run: { [weak self] command throws(AgentError) in
                guard command.program.hasSuffix("systemctl") else { return try command.run() }
                do {
                    return try self?.systemctl(command.arguments) ?? CommandResult(status: 1)
                } catch {
                    throw AgentError(.system, "\(error)")
                }
            },
            hasSystemd: { true },
            tunnel: Tunnel(ensure: { _, _, _, _ in (.kernel, []) }, status: { nil }, forget: { _ in }, remove: { [] }),
            kernel: KernelControl(
                setting: { _ in nil }, set: { _, _ in }, offloads: { [:] }, setOffloads: { _, _, _ in },
                sockets: KernelControl.live.sockets, inputDrops: { _ in [:] },
                owners: KernelControl.live.owners, guardTunnel: { _, _, _ in [] }, unguardTunnel: { [] }),
            envoyHost: { EnvoyHost(hasIPv6: true, memoryBytes: 4 << 30) },
            askEnvoy: { path, limit throws(AgentError) in
                guard let result = fetch(path, from: [.unixSocket(socket)], milliseconds: 2000, limit: limit).first else {
                    throw AgentError(.envoyNotRunning, "not asked")
                }
                return try result.get()
            },
            askUplinks: { _ in [:] }, now: { 0 })
    }

    // MARK: systemd

    private func systemctl(_ arguments: [String]) throws -> CommandResult {
        let isEnvoy = arguments.last == UnitName.envoy.rawValue
        switch arguments.first {
        case "show":
            let pid = envoyPID
            return CommandResult(
                output: """
                    Id=\(UnitName.envoy.rawValue)
                    ActiveState=\(pid == nil ? "failed" : "active")
                    UnitFileState=enabled
                    MainPID=\(pid ?? 0)

                    Id=\(UnitName.boot.rawValue)
                    UnitFileState=enabled

                    """)
        case "start" where isEnvoy: try startEnvoy()
        case "restart" where isEnvoy:
            stopEnvoy()
            try startEnvoy()
        case "stop" where isEnvoy: stopEnvoy()
        default: break
        }
        return CommandResult()
    }

    var envoyPID: Int32? { envoy.withLock { process in process.flatMap { $0.isRunning ? $0.processIdentifier : nil } } }

    func stopEnvoy() {
        envoy.withLock { process in
            guard let running = process, running.isRunning else { return }
            kill(running.processIdentifier, SIGKILL)
            running.waitUntilExit()
            process = nil
        }
    }

    /// What the supervisor does beside starting Envoy.
    private func startProber() throws {
        try prober.withLock { process in
            if process?.isRunning == true { return }
            let agent = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appending(path: "edge-agent")
            // It ends with the thread that started it: not one of ours, which come and go.
            process = try namespace.start("env", "-C", paths.envoyFiles, "sh", "-c", "\"$0\" probe-uplinks & wait", agent.path)
        }
    }

    private func startEnvoy() throws {
        try startProber()
        let process = try namespace.start(
            "env", "-C", paths.envoyFiles, paths.envoyLink + "/envoy", "--config-path", EnvoyLayout.bootstrap,
            "--disable-hot-restart",
            "--drain-time-s", "1", "--log-level", "critical", "--concurrency", "1")
        envoy.withLock { $0 = process }
    }
}

func tcp(_ name: String, _ port: Int) throws -> RelayBinding {
    RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(port), transport: .tcp(RelayTCP()))
}

func udp(_ name: String, _ port: Int) throws -> RelayBinding {
    RelayBinding(name: name, listenPort: try Port(port), tunnelPort: try Port(port), transport: .udp(RelayUDP()))
}
