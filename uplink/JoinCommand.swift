import ArgumentParser
import Glibc
import HostNetwork
import Mesh
import NetworkTypes
import NodeDocument
import RemoteClient
import RemoteDocuments
import Sodium
import Synchronization
import Syscalls
import UplinkAgent

struct JoinCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Joins an EdgeNode as an uplink, or a RemoteService as its remote.",
        discussion: """
            `tidegate join-command` prints the line for an uplink, and the Secret NAME-join of a RemoteService has it. A token of `-` is read \
            from standard input, where no list of processes shows it. An uplink gives it the first time, and goes on from its folder after that.
            """)

    @Argument(help: "The token, or -. Left out, the folder has one.")
    var token: String?

    @Option(
        help: """
            The uplink's own folder, which only its owner may enter. Default: STATE_DIRECTORY, /var/lib/tidegate-uplink for root, \
            ~/.local/state/tidegate-uplink for others.
            """)
    var state: String?

    @Option(
        help:
            "Instead of a token: the gateway's URL, ws://HOST or wss://HOST, where it has no Secret; GATEWAY_PASSWORD is its password."
    )
    var gateway: String?

    @Option(help: "Of a RemoteService: the only host that its ports may lead to. Default: this one.")
    var target: String?

    @Option(
        help:
            "Of a RemoteService: the only ports there that it may lead to, separated by commas. Default: those that its gateway names."
    )
    var allowPorts: String?

    @Flag(
        help: """
            Of a RemoteService with a mesh: be part of it, as root with this host's network, as another user with one of its own (slirp4netns).
            """)
    var mesh = false

    @Option(help: "Of a mesh: where the cluster's resolv.conf is written.")
    var resolvConf: String?

    @Option(help: "Of a mesh: a file that is made once it is up.")
    var readyFile: String?

    @OptionGroup var options: RunOptions

    @Argument(
        parsing: .postTerminator,
        help: "Of a mesh, behind --: what is run once it is up, with the cluster's names. It ends with it, and so does this.")
    var command: [String] = []

    func validate() throws {
        if gateway != nil, token != nil { throw ValidationError("--gateway: there is a token too, and one of them must go") }
        guard !mesh else { return }
        if resolvConf != nil || readyFile != nil || !command.isEmpty {
            throw ValidationError("--resolv-conf, --ready-file and a command are of a mesh: give --mesh")
        }
    }

    func run() async throws {
        let network = Self.network.withLock { $0 }
        if mesh, network == nil, geteuid() != 0 { throw ExitCode(try await runInOwnNetwork()) }
        // What the command gets is what this was given, proxies and all.
        let given = command.isEmpty ? [] : RunStart.environmentEntries().filter { !$0.hasPrefix("\(Self.passwordVariable)=") }
        let start = RunStart()
        if let gateway {
            guard let password = start.environment[Self.passwordVariable] else {
                throw ValidationError("--gateway: give its password in the variable \(Self.passwordVariable)")
            }
            return try await joinService(start, given, network) { try RemoteToken(password: password, url: gateway) }
        }
        var token = try self.token.map { $0 == "-" ? try Self.standardInput() : Array($0.utf8) }
        if let text = token, Self.isRemote(text) {
            token = nil
            let remote = Mutex(text)
            return try await joinService(start, given, network) { try remote.withLock { try RemoteToken(consuming: &$0) } }
        }
        if target != nil || allowPorts != nil || mesh {
            throw ValidationError(
                "--target, --allow-ports and --mesh: the token is an uplink's, whose bindings say where they lead")
        }
        let folder = try JoinFolder(path: try state ?? Self.defaultFolder(start.environment))
        if var text = token {
            token = nil
            try folder.take(try Self.parsed(&text, "the token"))
        }
        let kept = try folder.token()
        var settings = options.settings(document: folder.document, keys: folder.keys, ordinal: kept.ordinal)
        settings.joined = UplinkSettings.Joined(opener: kept.opener, owner: kept.facts.document.owner, path: folder.handed)
        try await start.run(settings)
        withExtendedLifetime(folder) {}
    }

    private static let passwordVariable = "GATEWAY_PASSWORD"

    private static func isRemote(_ text: [UInt8]) -> Bool {
        text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }.starts(with: RemoteToken.prefix.utf8)
    }

    /// Where this process is in a network of its own.
    private static let network = Mutex<OwnNetwork.Inside?>(nil)

    static func enter(_ inside: OwnNetwork.Inside) { network.withLock { $0 = inside } }

    /// As another user than root: this program once more, in a network of its own.
    private func runInOwnNetwork() async throws -> Int32 {
        guard !command.isEmpty else {
            throw ValidationError(
                "--mesh as another user than root has a network of its own, which only what is started by it sees: give a command behind --"
            )
        }
        var arguments = Array(CommandLine.arguments.dropFirst())
        var input: Descriptor? = Descriptor(borrowing: STDIN_FILENO)
        if let token, token != "-", let place = arguments.firstIndex(of: token) {
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
        do {
            return try await OwnNetwork.run(arguments, environment: environment, input: input, path: path)
        } catch {
            throw ValidationError("\(error)")
        }
    }

    private func meshOptions(_ start: RunStart, _ given: [String], _ network: OwnNetwork.Inside?) -> MeshOptions? {
        guard mesh else { return nil }
        let programs =
            options.wireguardGo.map { [WireGuardGo.Program($0)] } ?? WireGuardGo.programs(path: start.environment["PATH"] ?? "")
        return MeshOptions(
            wireguardGo: programs, resolverFile: resolvConf, readyFile: readyFile,
            command: command.isEmpty
                ? nil
                : InnerCommand(
                    command, environment: given, input: token == "-" ? nil : Descriptor(borrowing: STDIN_FILENO), network: network
                ))
    }

    private func joinService(
        _ start: RunStart, _ given: [String], _ network: OwnNetwork.Inside?, _ token: () throws -> RemoteToken
    ) async throws {
        let client: RemoteClient
        do {
            let host: HostAddress? = if let target { try HostAddress(parsing: target) } else { nil }
            var allowed: Set<Port>?
            if let allowPorts { allowed = Set(try RemotePort.list(parsing: allowPorts).map(\.port)) }
            client = try RemoteClient(
                try token(), target: host, allowed: allowed, proxy: start.usableProxy,
                exceptions: start.proxyExceptions, mesh: meshOptions(start, given, network), logger: start.logger)
        } catch {
            throw ValidationError("\(error)")
        }
        try await serve(client, within: .seconds(30), logger: start.logger)
        if let code = client.exitCode { throw ExitCode(code) }
    }

    /// A token among the arguments is overwritten, where whoever lists processes would find it.
    static func hideToken() {
        guard CommandLine.argc > 2 else { return }
        for index in 1..<Int(CommandLine.argc) {
            guard let text = CommandLine.unsafeArgv[index],
                strncmp(text, "tidegate-join-", 14) == 0 || strncmp(text, "tidegate-remote-", 16) == 0
            else { continue }
            memset(text, 0x2A, strlen(text))
        }
    }

    private static func standardInput() throws -> [UInt8] {
        do throws(SystemFailure) {
            return try Descriptor(borrowing: STDIN_FILENO).readAll(limit: JoinToken.longest)
        } catch {
            throw ValidationError("standard input holds no token: \(error.code == EFBIG ? "it is far too long" : error.reason)")
        }
    }

    fileprivate static func parsed(_ text: inout [UInt8], _ source: String) throws -> JoinToken {
        do throws(InvalidValue) {
            return try JoinToken(consuming: &text)
        } catch {
            throw ValidationError("\(source) cannot be used: \(error.reason). `tidegate join-command --renew` prints another.")
        }
    }

    private static func defaultFolder(_ environment: [String: String]) throws -> String {
        // systemd.exec(5): the first of a list.
        if let folder = environment["STATE_DIRECTORY"]?.split(separator: ":").first { return String(folder) }
        if geteuid() == 0 { return "/var/lib/tidegate-uplink" }
        if let folder = environment["XDG_STATE_HOME"], folder.hasPrefix("/") { return "\(folder)/tidegate-uplink" }
        if let home = environment["HOME"], home.hasPrefix("/") { return "\(home)/.local/state/tidegate-uplink" }
        throw ValidationError("--state: name a folder; neither STATE_DIRECTORY nor HOME does.")
    }
}

/// What an uplink that joined keeps: its token, and the key and documents that a running uplink reads.
private struct JoinFolder {
    private let path: String
    private let lock: Descriptor

    var keys: String { "\(path)/keys" }
    var document: String { "\(path)/config/\(UplinkDocument.fileName)" }
    var handed: String { "\(path)/config/handed" }
    private var tokenFile: String { "\(path)/token" }

    /// Makes it where it is missing; one process at a time has it.
    init(path: String) throws {
        self.path = path
        do throws(SystemFailure) {
            for folder in [path, "\(path)/keys", "\(path)/config"] { try makeFolder(at: folder) }
            try calling("chmod") { chmod(path, 0o700) }
            lock = try Descriptor.open("\(path)/lock", O_RDWR | O_CREAT | O_NOFOLLOW, mode: 0o600)
            try calling("flock") { flock(lock.number, LOCK_EX | LOCK_NB) }
        } catch {
            guard error.call == "flock" else { throw ValidationError("--state \(path): \(error)") }
            throw ValidationError("\(path): another uplink runs from this folder; give this one its own (--state)")
        }
    }

    func token() throws -> JoinToken {
        var text: [UInt8]
        do throws(SystemFailure) {
            text = try Descriptor.contents(of: tokenFile, limit: JoinToken.longest, O_NOFOLLOW)
        } catch {
            throw ValidationError(
                "\(path) has no token\(error.isMissing ? "" : " that can be read: \(error.reason)"); "
                    + "give the one that `tidegate join-command` prints")
        }
        return try JoinCommand.parsed(&text, tokenFile)
    }

    /// Keeps a token, the key in it, and, before anything was handed over, the document without forwards.
    func take(_ token: JoinToken) throws {
        if (try? fileStatus(at: tokenFile)) ?? nil != nil {
            let former = try self.token()
            guard former.facts.document.owner == token.facts.document.owner, former.ordinal == token.ordinal else {
                throw ValidationError(
                    "\(path) belongs to uplink \(former.ordinal) of EdgeNode \(former.facts.document.owner); "
                        + "give this one another folder (--state)")
            }
        }
        var key = token.key.base64File()
        defer { zero(&key) }
        try write(key, to: "\(keys)/priv-\(token.ordinal)")
        // What was handed over before is newer than the token, unless that has another key or edge.
        let isHanded = (try? fileStatus(at: handed)) ?? nil != nil
        if !isHanded || !isDocument(for: token) { try write(try DocumentJSON.encode(token.facts.document), to: document) }
        var text = try token.text()
        defer { zero(&text) }
        try write(text, to: tokenFile)
    }

    private func isDocument(for token: JoinToken) -> Bool {
        guard let bytes = try? Descriptor.contents(of: document, limit: HandedDocument.longest),
            let present = try? DocumentJSON.decode(UplinkDocument.self, from: bytes)
        else { return false }
        let content = token.facts.document.content
        return present.content.link == content.link && content.replicas.allSatisfy(present.content.replicas.contains)
    }

    private func write(_ bytes: [UInt8], to file: String) throws {
        do throws(SystemFailure) {
            try replaceFile(file, with: bytes, mode: 0o600, through: file + ".new")
        } catch {
            throw ValidationError("\(file) cannot be written: \(error)")
        }
    }
}
