import EnvoyConfig
import Glibc
import Logging
import NetworkTypes
import NodeDocument
import RouteNetlink
import Sodium
import Synchronization
import Syscalls
import TestFiles
import WireGuardNetlink

@testable import NodeAgent

/// A host in a temporary folder: systemd, Envoy and the kernel are played, files are real.
final class FakeHost: Sendable {
    static let now: Int64 = 10_000
    struct Machine {
        var enabled: Set<String> = []
        var running: Set<String> = []
        var commands: [String] = []
        /// Listeners that `--mode validate` refuses, by a text their JSON holds.
        var refusedText: String?
        /// The versions in the files that Envoy took last.
        var listenersVersion: String?
        var clustersVersion: String?
        var rejections = 0
        /// Listeners that Envoy cannot bind, by name.
        var unbindable: [String: String] = [:]
        var settings = [
            "net.core.rmem_max": "212992", "net.core.wmem_max": "212992", "fs.inotify.max_user_instances": "128",
            "net.ipv4.ip_local_port_range": "32768\t60999", "net.ipv4.ip_local_reserved_ports": "",
        ]
        var foreignSockets: [BoundSocket] = []
        /// Why the tunnel cannot be made.
        var tunnelFailure: String?
        /// By the host's firewall.
        var closedPorts: Set<UInt16> = []
        var hasTunnel = false
        /// Whom the tunnel is kept for beside root.
        var guardedFor: UInt32?
        /// Whom links are kept for beside these; nil where there are none.
        var linksGuardedFor: UInt32?
        var lacksNFTables = false
        var peers: [WireGuardPeerStatus] = []
        /// The uplinks that answer through the tunnel.
        var answering: Set<IPv4Address> = []
        var forgotten: [WireGuardPublicKey] = []
        /// What the tunnel was made with.
        var lastEndpoints: [WireGuardPublicKey: WireGuardEndpoint] = [:]
        var systemd = true
        /// What `sshd -T` prints; nil for an sshd that fails.
        var sshd: String? = "allowstreamlocalforwarding yes\n"
        /// How the next restart by the supervisor ends; nil for hot.
        var restartOutcome: EnvoyRun.Outcome?
        var restarts = 0
    }

    let folder: TemporaryFolder
    let paths: HostPaths
    let machine = Mutex(Machine())

    init() throws {
        folder = try TemporaryFolder()
        paths = HostPaths(root: folder.path)
        for path in ["/etc/systemd/system", "/usr/local/lib/tidegate", "/run", "/dev/net"] {
            try makeFolder(folder.path + path, .publicFolder)
        }
        try replaceFile(paths.build, Array("build1\n".utf8), .publicFile)
        try replaceFile(paths.tunnelDevice, [], .publicFile)
        try makeFolder(folder.path + folderPart(of: findProgram("sshd")), .publicFolder)
        try replaceFile(folder.path + findProgram("sshd"), [], .publicFile)
        try replaceFile(paths.passwd, Array("root:x:0:0::/root:/bin/sh\n".utf8), .publicFile)
    }

    var agent: Agent {
        Agent(
            host: Host(
                paths: paths, build: "build1", logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() },
                run: { command throws(AgentError) in try self.run(command) }, hasSystemd: { self.machine.withLock(\.systemd) },
                tunnel: tunnel,
                kernel: kernel, envoyHost: { EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30) },
                askEnvoy: { path, _ throws(AgentError) in try self.askEnvoy(path) },
                askUplinks: { addresses in
                    let answering = addresses.filter(self.machine.withLock(\.answering).contains)
                    let report = UplinkReport(
                        ordinal: 0, hash: nil, ready: true, reason: nil, handshakeAge: 1, receivedBytes: 0, sentBytes: 0,
                        wireGuardKind: nil,
                        targets: [])
                    return Dictionary(uniqueKeysWithValues: answering.map { ($0, report) })
                }, now: { Self.now }))
    }

    func apply(_ document: RelayDocument) throws -> AgentReport { agent.apply(try DocumentJSON.encode(document)) }

    /// Puts a program there as a push does.
    func pushEnvoy(_ version: String = "1.40.0") throws -> AgentReport {
        let program = Array("fake envoy \(version)".utf8)
        let header = EnvoyInstallHeader(version: version, sha256: SHA256.digest(of: program), length: program.count)
        return try install(try DocumentJSON.encode(header) + [0x0A] + program)
    }

    func install(_ bytes: [UInt8]) throws -> AgentReport {
        let path = folder.path + "/push"
        try replaceFile(path, bytes, .publicFile)
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        return agent.installEnvoy(descriptor)
    }

    /// Puts a link program there as a push does.
    func pushLink(_ build: String, _ change: (inout LinkInstallHeader) -> Void = { _ in }, packed: Bool = true) throws
        -> AgentReport
    {
        let program = Array("fake link \(build)".utf8)
        var header = LinkInstallHeader(build: build, sha256: SHA256.digest(of: program), length: program.count)
        change(&header)
        var pushed = program
        if packed {
            let file = folder.path + "/program"
            try replaceFile(file, program, .publicFile)
            pushed = Array(
                try Spawn("/bin/gzip", ["-c", file], environment: []).run(.own, limit: 1 << 20, until: .now + .seconds(20))?
                    .output ?? [])
        }
        let path = folder.path + "/push"
        try replaceFile(path, try DocumentJSON.encode(header) + [0x0A] + pushed, .publicFile)
        let descriptor = open(path, O_RDONLY)
        defer { close(descriptor) }
        return agent.installLink(descriptor)
    }

    private func run(_ command: Command) throws(AgentError) -> CommandResult {
        machine.withLock { $0.commands.append(command.description) }
        let name = command.program.split(separator: "/").last ?? ""
        let user = command.arguments.last ?? ""
        switch name {
        case "systemctl":
            let result = systemctl(command.arguments)
            if command.arguments.last == UnitName.envoy.rawValue { try supervise(command.arguments[0]) }
            return result
        case "useradd":
            let home = command.arguments.firstIndex(of: "--home-dir").map { command.arguments[$0 + 1] } ?? "/"
            try replaceFile(
                paths.passwd, (try readFile(paths.passwd) ?? []) + Array("\(user):x:\(getuid()):\(getgid())::\(home):/\n".utf8),
                .publicFile)
        case "sshd":
            guard let settings = machine.withLock(\.sshd) else { return CommandResult(status: 255, errors: "no hostkeys\n") }
            return CommandResult(output: settings)
        case "userdel":
            let lines = String(decoding: try readFile(paths.passwd) ?? [], as: UTF8.self).split(separator: "\n")
            let others = lines.filter { !$0.hasPrefix("\(user):") }.map { $0 + "\n" }.joined()
            try replaceFile(paths.passwd, Array(others.utf8), .publicFile)
        case "groupdel", "journalctl", "prlimit": break
        case "envoy" where command.arguments.contains("validate"):
            let text = try readFile((command.folder ?? "") + "/validate.json").map { String(decoding: $0, as: UTF8.self) } ?? ""
            if let refused = machine.withLock(\.refusedText), text.contains(refused) {
                return CommandResult(
                    status: 1,
                    errors: "[critical] error initializing configuration 'validate.json': no such field: '\(refused)'\n")
            }
        default:
            // The program on its way in, asked for its version.
            let contents = try readFile(command.program).map { String(decoding: $0, as: UTF8.self) } ?? ""
            if contents.hasPrefix("fake link "), command.arguments == ["version"] { return CommandResult(output: "edge-link\n") }
            guard contents.hasPrefix("fake envoy ") else { return CommandResult(status: 127, errors: "Exec format error") }
            return CommandResult(
                output: "envoy  version: abc/\(contents.dropFirst("fake envoy ".count))/Clean/RELEASE/BoringSSL\n")
        }
        return CommandResult()
    }

    /// Plays the supervisor of Envoy, as far as it is seen from outside.
    private func supervise(_ verb: String) throws(AgentError) {
        let run = machine.withLock { machine in
            if verb == "reload" { machine.restarts += 1 }
            let process = EnvoyRun.Process(pid: 4243, epoch: machine.restarts, version: "1.40.0", phase: "serving")
            return EnvoyRun(
                supervisor: 4242, restarts: machine.restarts,
                outcome: machine.restartOutcome ?? EnvoyRun.Outcome(kind: .hot, message: ""), processes: [process])
        }
        guard ["start", "restart", "reload"].contains(verb) else { return }
        try makeFolder(paths.runtime, .publicFolder)
        try replaceFile(paths.envoyRun, jsonLine(run), .publicFile)
    }

    private func systemctl(_ arguments: [String]) -> CommandResult {
        let unit = arguments.last ?? ""
        return machine.withLock { machine in
            switch arguments.first {
            case "show":
                let blocks = UnitName.allCases.map { unit in
                    let name = unit.rawValue
                    return """
                        Id=\(name)
                        ActiveState=\(machine.running.contains(name) ? "active" : "inactive")
                        UnitFileState=\(machine.enabled.contains(name) ? "enabled" : "")
                        NeedDaemonReload=no
                        MainPID=\(machine.running.contains(name) ? "4242" : "0")
                        Result=success

                        """
                }
                return CommandResult(output: blocks.joined(separator: "\n"))
            case "enable": machine.enabled.insert(unit)
            case "disable": machine.enabled.remove(unit)
            case "start", "restart":
                machine.running.insert(unit)
                if unit == UnitName.envoy.rawValue { (machine.listenersVersion, machine.clustersVersion) = (nil, nil) }
            case "stop": machine.running.remove(unit)
            default: break
            }
            return CommandResult()
        }
    }
}
