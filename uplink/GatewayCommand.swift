import ArgumentParser
import Gateway
import HostNetwork
import Logging
import NetworkTypes
import QuietMemory
import ServiceLifecycle
import UnixSignals

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Runs the gateway of a RemoteService, as its Deployment does; or one by itself, for others' clients.",
        discussion: """
            Takes the remote's connections at one port, whichever client it has, and listens at the ports of the service while one is there. \
            Without --config it takes whoever knows the password in the variable GATEWAY_PASSWORD (clients of wstunnel and rathole, and \
            `uplink join --gateway`): what stands in wstunnel's place in templates of interLink.
            """)

    @Option(help: "The folder of the Secret that the controller writes.")
    var config: String?

    @Option(help: "Where the remote comes in.")
    var port = Port.gateway

    @Option(help: "Where /ready, /status and /metrics are.")
    var statusPort = Port.gatewayStatus

    @Option(help: "Without --config: the ports to listen at for the remote, PORT[:NAME[:TCP|UDP]], separated by commas.")
    var expose = ""

    @Option(help: "Without --config: HOST:PORT where clients of wstunnel may lead connections (-L), separated by commas.")
    var forward = ""

    @Option(
        help:
            "Without --config: the networks that the remote reaches by a mesh, separated by commas. Needs root; left out, there is no mesh."
    )
    var mesh = ""

    func validate() throws {
        if config != nil, !expose.isEmpty || !forward.isEmpty || !mesh.isEmpty {
            throw ValidationError("--expose, --forward and --mesh: the folder of --config has them")
        }
    }

    private static func words(_ list: String) -> [String] { list.split(separator: ",").map { $0.filter { $0 != " " } } }

    func run() async throws {
        let start = RunStart()
        let programs = WireGuardGo.programs(path: start.environment["PATH"] ?? "")
        let gateway: Gateway
        if let config {
            gateway = Gateway(
                folder: config, port: port, statusPort: statusPort, wireguardGo: programs, logger: start.logger)
        } else {
            guard let password = start.environment["GATEWAY_PASSWORD"] else {
                throw ValidationError("give --config, or a password in the variable GATEWAY_PASSWORD")
            }
            do {
                let networks = try Self.words(mesh).map { word throws(InvalidValue) in try CIDR(parsing: word) }
                gateway = try Gateway(
                    ports: RemotePort.named(try RemotePort.list(parsing: expose)), forwards: Self.words(forward),
                    mesh: networks.isEmpty ? nil : networks, password: password, port: port, statusPort: statusPort,
                    wireguardGo: programs, logger: start.logger)
            } catch {
                throw ValidationError("\(error)")
            }
        }
        try await serve(gateway, within: .seconds(28), logger: start.logger)
    }
}

/// Runs a service until SIGTERM or SIGINT, and then until it has ended.
func serve(_ service: any Service, within limit: Duration, logger: Logger) async throws {
    var configuration = ServiceGroupConfiguration(
        services: [
            .init(service: service, successTerminationBehavior: .gracefullyShutdownGroup),
            .init(service: QuietMemory(logger: logger)),
        ],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    configuration.maximumGracefulShutdownDuration = limit
    try await ServiceGroup(configuration: configuration).run()
}
