public import ArgumentParser
import Mesh
import NetworkTypes
import UplinkAgent

@main struct UplinkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uplink",
        abstract:
            "Dials the VPS, by WireGuard or by links, and sends on what comes to the targets of the bindings; or joins a RemoteService.",
        subcommands: [RunCommand.self, JoinCommand.self, GatewayCommand.self, HealthCommand.self],
        defaultSubcommand: RunCommand.self)

    static func main() async {
        var arguments = Array(CommandLine.arguments.dropFirst())
        JoinCommand.hideToken()
        if arguments.first == InnerCommand.subcommand { return WithinCommand.main(Array(arguments.dropFirst())) }
        if arguments.first == OwnNetwork.argument {
            arguments.removeFirst()
            // Before anything awaits, while there is but one thread.
            do { RemoteJoin.enter(try OwnNetwork.enter()) } catch { exit(withError: error) }
        }
        await main(arguments)
    }
}

struct HealthCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "healthz",
        abstract:
            "Asks the uplink of this network namespace whether it lives; for a liveness probe, which nobody outside can make fail."
    )

    @Option(help: "Seconds to wait for the answer.")
    var timeout = 3

    func validate() throws {
        if !(1...60).contains(timeout) { throw ValidationError("--timeout: want 1 to 60 seconds, not \(timeout)") }
    }

    func run() throws {
        let answer = HealthQuestion.ask(within: .seconds(timeout))
        // `tidegate standalone` reads it.
        print(answer.text)
        if answer.problem != nil { throw ExitCode.failure }
    }
}

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Runs the uplink until SIGTERM; what is done where no other is named.")

    @Option(help: "The document of the EdgeNode's uplinks.")
    var config: String

    @Option(help: "The folder of the keys, priv-0, priv-1, …")
    var keys: String

    @Option(help: "Which replica this is. Default: the number at the end of the environment's POD_NAME.")
    var ordinal: Int?

    @OptionGroup var options: RunOptions

    func validate() throws {
        if let ordinal, !(0...252).contains(ordinal) { throw ValidationError("--ordinal: want 0 to 252, not \(ordinal)") }
    }

    func run() async throws {
        // First: what is read later holds no password.
        let start = RunStart()
        let number: Int
        if let ordinal {
            number = ordinal
        } else if let name = start.environment["POD_NAME"] {
            number = try UplinkSettings.ordinal(podName: name)
        } else {
            throw ValidationError("Which replica is this? Set POD_NAME to NAME-ORDINAL or give --ordinal.")
        }
        try await start.run(options.settings(document: config, keys: keys, ordinal: number))
    }
}

extension IPv4Address: ExpressibleByArgument {}
extension GoDuration: ExpressibleByArgument {}

extension Port: ExpressibleByArgument {
    init?(argument: String) {
        guard let number = Int(argument), let port = try? Port(number) else { return nil }
        self = port
    }
}
