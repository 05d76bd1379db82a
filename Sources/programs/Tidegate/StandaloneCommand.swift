import ArgumentParser
import EdgeAPI
import Enrollment
import Glibc
import Logging
import ManifestStore
import NetworkTypes
import Reconcilers
import ServiceLifecycle
import Standalone
import StructuredLogging
import Syscalls
import UnixSignals

struct StandaloneCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "standalone",
        abstract: "Follows a folder of manifests, without a cluster.",
        discussion: """
            Enrolls the VPS of each EdgeNode, runs the first uplink on this host, applies changes to the files as they are saved, \
            and keeps the status of every resource as YAML in the state folder. Stopping it stops no traffic; removing an \
            EdgeNode's manifest tears its VPS down.
            """)

    enum Uplinks: String, ExpressibleByArgument, CaseIterable {
        /// The first uplink runs on this host.
        case local
        /// All run elsewhere, from the files in the state folder.
        case files
    }

    @Option(help: "Folder of YAML and JSON files: EdgeNodes, PortBindings, Secrets, Services.")
    var manifests: String

    @Option(help: "Folder for keys, records and status; only its owner may enter.")
    var state: String

    @OptionGroup var envoy: EnvoyOptions
    @OptionGroup var targets: TargetOptions

    @Option(help: "The agent as it is pushed (default: edge-agent-x86_64.tar.gz beside this program).")
    var agentBundle: String?

    @Option(help: "local: the first uplink runs on this host. files: all run elsewhere, from the state folder's uplinks/.")
    var uplinks: Uplinks = .local

    @Option(help: "The uplink program (default: uplink beside this program).")
    var uplinkProgram: String?

    @Option(
        name: .customLong("allow-passwords-without-host-key"),
        help: "Send passwords also to servers whose host key is not checked (ssh.insecureSkipHostKeyVerification).")
    var allowPasswordsWithoutHostKey = false

    @Option(
        help:
            "wireguard-go, for a host whose kernel has no WireGuard (default: the newer of that beside the uplink and the host's)."
    )
    var wireguardGo: String?

    func run() async throws {
        let environment = readEnvironment()
        StructuredLogHandler.bootstrap(environment: environment)
        let logger = Logger(label: "tidegate")
        try mustAllow(R_OK | X_OK, "--manifests", manifests)
        let folder = try StateFolder(path: state)
        let epoch = try folder.nextEpoch()
        // Each start has a number of its own.
        let writer = WriterFence(installation: try folder.installationID(), writer: "start \(epoch)", epoch: { epoch })
        let local = uplinks == .local ? try localUplinks(environment: environment, logger: logger) : nil
        let store = try StandaloneStore(folder: folder, uplinks: local, logger: logger)
        let bundle = try agentBundle ?? beside("edge-agent-x86_64.tar.gz")
        let bundleFolder = bundle.split(separator: "/", omittingEmptySubsequences: false).dropLast().joined(separator: "/")
        let sessions = NodeSessions(
            bundle: try AgentBundle(path: bundle), envoy: try envoy.source(folder: bundleFolder.isEmpty ? "." : bundleFolder),
            envoyVersion: envoy.envoyVersion, sendsPasswordsUnchecked: allowPasswordsWithoutHostKey, logger: logger)
        let outcomes = NodeOutcomes()
        var nodes = EdgeNodeReconciler(store: store, sessions: sessions, outcomes: outcomes, writer: writer, logger: logger)
        nodes.targets = try targets.policy()
        let controller = StandaloneController(
            manifests: manifests, store: store, nodes: nodes,
            bindings: PortBindingReconciler(store: store, outcomes: outcomes, logger: logger), sessions: sessions, uplinks: local,
            logger: logger)
        logger.info("standalone", metadata: ["manifests": "\(manifests)", "state": "\(state)", "epoch": "\(epoch)"])
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: [.init(service: controller)], gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }

    private func localUplinks(environment: [String: String], logger: Logger) throws -> LocalUplinks {
        let program = try uplinkProgram ?? beside("uplink")
        try mustAllow(X_OK, "--uplink-program", program)
        let inherited = ["LOG_FORMAT", "LOG_LEVEL", "SSL_CERT_FILE"].compactMap { name in
            environment[name].map { "\(name)=\($0)" }
        }
        return LocalUplinks(
            program: program, arguments: ["--status-address", "127.0.0.1"] + (wireguardGo.map { ["--wireguard-go", $0] } ?? []),
            environment: inherited + ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"], logger: logger)
    }
}

/// - Parameter access: of access(2).
private func mustAllow(_ access: Int32, _ flag: String, _ path: String) throws(ValidationError) {
    do throws(SystemFailure) {
        try calling("access") { Glibc.access(path, access) }
    } catch {
        throw ValidationError("\(flag) \(path): \(error.reason)")
    }
}

/// The path of a file in the folder of this program.
func beside(_ name: String) throws(Failure) -> String {
    do throws(SystemFailure) {
        return "\(try ownFolder())/\(name)"
    } catch {
        throw Failure("/proc/self/exe cannot be read: \(error.reason)")
    }
}
