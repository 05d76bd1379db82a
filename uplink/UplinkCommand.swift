public import ArgumentParser
import CLinuxHeaders
import Glibc
import LinkCarriers
import LinkProtocol
import Logging
import NetworkTypes
import StructuredLogging
import Syscalls
import UplinkAgent

@main struct UplinkCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "uplink",
        abstract: "Dials the VPS, by WireGuard or by links, and sends on what comes to the targets of the bindings.",
        subcommands: [RunCommand.self, HealthCommand.self], defaultSubcommand: RunCommand.self)
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

    @Option(
        help: "Serve /ready, /healthz, /status and /metrics on port 40500 of this address too; 0.0.0.0 is all. May be repeated.")
    var statusAddress: [IPv4Address] = []

    @Option(help: "Serve /ready and /healthz for a kubelet on port 40501 of this address; 0.0.0.0 is all. May be repeated.")
    var probeAddress: [IPv4Address] = []

    @Option(help: "Lead port 40600 of this address to Envoy's read-only bridge; 0.0.0.0 is all. May be repeated.")
    var bridgeAddress: [IPv4Address] = []

    @Option(help: "How long established connections may go on after SIGTERM.")
    var drain: GoDuration = .seconds(15)

    @Option(help: "wireguard-go, for kernels without WireGuard. Default: the newer of that beside this program and that of PATH.")
    var wireguardGo: String?

    func validate() throws {
        if let ordinal, !(0...252).contains(ordinal) { throw ValidationError("--ordinal: want 0 to 252, not \(ordinal)") }
        if drain.nanoseconds < 0 { throw ValidationError("--drain: want no negative duration") }
    }

    func run() async throws {
        // A heap for each thread, kept for ever, would be most of the memory of this process.
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, 64 << 10)
        // First: what is read later holds no password.
        let proxy = Result { () throws(LinkCarrierError) in try ProxyEnvironment.take() }
        let environment = currentEnvironment()
        StructuredLogHandler.bootstrap(environment: environment)
        let logger = Logger(label: "uplink")
        let number: Int
        if let ordinal {
            number = ordinal
        } else if let name = environment["POD_NAME"] {
            number = try UplinkSettings.ordinal(podName: name)
        } else {
            throw ValidationError("Which replica is this? Set POD_NAME to NAME-ORDINAL or give --ordinal.")
        }
        var settings = UplinkSettings(
            documentPath: config, keysPath: keys, ordinal: number, statusAddresses: statusAddress,
            probeAddresses: probeAddress, bridgeAddresses: bridgeAddress, drain: drain, wireguardGo: wireguardGo)
        switch proxy {
        case .success(let proxy): settings.proxy = proxy
        case .failure(let problem): logger.error("no proxy is used", metadata: ["reason": "\(problem)"])
        }
        if let path = environment["SSL_CERT_FILE"], !path.isEmpty {
            do throws(SystemFailure) {
                settings.roots = try Descriptor.contents(of: path, limit: 4 << 20)
            } catch {
                logger.error(
                    "the system's certificates are believed", metadata: ["SSL_CERT_FILE": "\(path)", "reason": "\(error.reason)"])
            }
        }
        settings.proxyExceptions = ProxyExceptions(environment["NO_PROXY"] ?? environment["no_proxy"] ?? "")
        try await Uplink.run(settings, searchPath: environment["PATH"] ?? "", logger: logger)
    }

    /// The environment, without Foundation.
    private func currentEnvironment() -> [String: String] {
        var result: [String: String] = [:]
        var entry = environ
        while let text = entry.pointee {
            let parts = String(cString: text).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            if parts.count == 2 { result[String(parts[0])] = String(parts[1]) }
            entry += 1
        }
        return result
    }
}

extension IPv4Address: ExpressibleByArgument {}
extension GoDuration: ExpressibleByArgument {}
