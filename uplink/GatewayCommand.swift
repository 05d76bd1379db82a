import ArgumentParser
import Gateway
import Logging
import NetworkTypes
import QuietMemory
import ServiceLifecycle
import UnixSignals

struct GatewayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "gateway",
        abstract: "Runs the gateway of a RemoteService, as its Deployment does.",
        discussion: """
            Takes the remote's connections at one port, whichever client it has, and listens at the ports of the service while one is there.
            """)

    @Option(help: "The folder of the Secret that the controller writes.")
    var config: String

    @Option(help: "Where the remote comes in.")
    var port = Port.gateway

    @Option(help: "Where /ready, /status and /metrics are.")
    var statusPort = Port.gatewayStatus

    func run() async throws {
        let start = RunStart()
        let gateway = Gateway(folder: config, port: port, statusPort: statusPort, logger: start.logger)
        try await serve(gateway, within: .seconds(28), logger: start.logger)
    }
}

/// Runs a service until SIGTERM or SIGINT, and then until it has ended.
func serve(_ service: any Service, within limit: Duration, logger: Logger) async throws {
    var configuration = ServiceGroupConfiguration(
        services: [.init(service: service), .init(service: QuietMemory(logger: logger))],
        gracefulShutdownSignals: [.sigterm, .sigint], logger: logger)
    configuration.maximumGracefulShutdownDuration = limit
    try await ServiceGroup(configuration: configuration).run()
}
