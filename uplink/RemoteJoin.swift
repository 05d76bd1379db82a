import ArgumentParser
import Glibc
import HostNetwork
import Mesh
import NetworkTypes
import RemoteClient
import RemoteDocuments
import Sodium
import Synchronization
import Syscalls

/// `uplink join` as the remote of a RemoteService.
struct RemoteJoin {
    private let join: JoinCommand
    private let start: RunStart
    /// What a command in the mesh has for its environment, `NAME=value` each.
    private let given: [String]

    private static let passwordVariable = "GATEWAY_PASSWORD"

    init(_ join: JoinCommand, _ start: RunStart, _ given: [String]) {
        self.join = join
        self.start = start
        self.given = given.filter { !$0.hasPrefix("\(Self.passwordVariable)=") }
    }

    /// Until SIGTERM, or until the command in the mesh ends, whose exit code is this program's then.
    /// - Parameter text: the token's; nil where the gateway has a password instead.
    func run(_ text: [UInt8]?) async throws {
        let client: RemoteClient
        var claim: MeshClaim?
        do {
            // A network of its own has no other.
            if join.mesh, !Self.isInOwnNetwork { claim = try MeshClaim() }
            // What a former run left would say that this one's mesh is up.
            if let file = join.readyFile { unlink(file) }
            let host: HostAddress? = if let target = join.target { try HostAddress(parsing: target) } else { nil }
            var allowed: Set<Port>?
            if let ports = join.allowPorts { allowed = Set(try RemotePort.list(parsing: ports).map(\.port)) }
            client = try RemoteClient(
                try token(text), target: host, allowed: allowed, proxy: start.usableProxy, exceptions: start.proxyExceptions,
                mesh: mesh, logger: start.logger)
        } catch {
            throw ValidationError("\(error)")
        }
        try await serve(client, within: .seconds(30), logger: start.logger)
        withExtendedLifetime(claim) {}
        if let code = client.exitCode { throw ExitCode(code) }
    }

    private func token(_ text: [UInt8]?) throws -> RemoteToken {
        if var text { return try RemoteToken(consuming: &text) }
        guard let url = join.gateway, let password = start.environment[Self.passwordVariable] else {
            throw ValidationError("--gateway: give its password in the variable \(Self.passwordVariable)")
        }
        return try RemoteToken(password: password, url: url)
    }

    private var mesh: MeshOptions? {
        guard join.mesh else { return nil }
        let programs =
            join.options.wireguardGo.map { [WireGuardGo.Program($0)] }
            ?? WireGuardGo.programs(path: start.environment["PATH"] ?? "")
        // Standard input is the command's, unless it held the token.
        let input = join.token == "-" ? nil : Descriptor(borrowing: STDIN_FILENO)
        let command =
            join.command.isEmpty
            ? nil
            : InnerCommand(join.command, environment: given, input: input, network: Self.network.withLock { $0 })
        return MeshOptions(
            wireguardGo: programs, resolverFile: join.resolvConf, readyFile: join.readyFile, command: command)
    }

    // MARK: as another user than root

    /// Where this process is in a network of its own.
    private static let network = Mutex<OwnNetwork.Inside?>(nil)

    static func enter(_ inside: OwnNetwork.Inside) { network.withLock { $0 = inside } }

    static var isInOwnNetwork: Bool { network.withLock { $0 != nil } }

    /// As another user than root: this program once more, in a network of its own.
    static func runInOwnNetwork(_ join: JoinCommand) async throws -> Int32 {
        guard !join.command.isEmpty else {
            throw ValidationError(
                "--mesh as another user than root has a network of its own, which only what is started by it sees: give a command behind --"
            )
        }
        var arguments = Array(CommandLine.arguments.dropFirst())
        var input: Descriptor? = Descriptor(borrowing: STDIN_FILENO)
        if let token = join.token, token != "-", let place = arguments.firstIndex(of: token) {
            // No list of processes shows it.
            arguments[place] = "-"
            let (output, end) = try Descriptor.pipe()
            var text = Array(token.utf8)
            defer { zero(&text) }
            try end.writeAll(text)
            input = output
        }
        let environment = RunStart.environmentEntries()
        let path = getenv("PATH").map { String(cString: $0) } ?? ""
        // Only now: it takes a proxy's password out of the environment.
        let start = RunStart()
        do {
            return try await OwnNetwork.run(
                arguments, environment: environment, input: input, path: path, logger: start.logger)
        } catch {
            throw ValidationError("\(error)")
        }
    }
}
