import ArgumentParser
import Glibc
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Sodium
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
        if mesh, !RemoteJoin.isInOwnNetwork, geteuid() != 0 { throw ExitCode(try await RemoteJoin.runInOwnNetwork(self)) }
        // What the command gets is what this was given, proxies and all.
        let given = command.isEmpty ? [] : RunStart.environmentEntries()
        let start = RunStart()
        if gateway != nil { return try await RemoteJoin(self, start, given).run(nil) }
        var token = try self.token.map { $0 == "-" ? try Self.standardInput() : Array($0.utf8) }
        if let text = token, Self.isRemote(text) {
            token = nil
            return try await RemoteJoin(self, start, given).run(text)
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

    private static func isRemote(_ text: [UInt8]) -> Bool {
        text.drop { $0 == 0x20 || (0x09...0x0D).contains($0) }.starts(with: RemoteToken.prefix.utf8)
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

    static func parsed(_ text: inout [UInt8], _ source: String) throws -> JoinToken {
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
