#if Kubernetes
import ArgumentParser
import CLinuxHeaders
import Controller
import EdgeAPI
import Enrollment
import Glibc
import KubernetesAPI
import KubernetesClient
import Logging
import PrometheusMetrics
import QuietMemory
import Reconcilers
import ServiceLifecycle
import StructuredLogging
import UnixSignals
import UplinkWorkload

struct ControllerCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "controller",
        abstract: "Runs the Kubernetes operator.",
        discussion: """
            Follows the EdgeNodes and PortBindings of a cluster: enrolls their VPSes, runs their uplinks as StatefulSets, and \
            tells in their status what works. In a cluster it uses its service account, elsewhere a kubeconfig. Stopping it \
            stops no traffic.
            """)

    /// The Lease's name.
    private static let lease = "tidegate.tunnel.achetronic.com"

    @OptionGroup var envoy: EnvoyOptions
    @OptionGroup var serving: ServingOptions
    @OptionGroup var targets: TargetOptions
    @OptionGroup var tenants: TenantOptions

    @Option(help: "A kubeconfig (default: KUBECONFIG, then the service account of a pod, then ~/.kube/config).")
    var kubeconfig: String?

    @Option(help: "The kubeconfig's context (default: its current one).")
    var context: String?

    @Option(
        name: [.customLong("agent-dir"), .customLong("tunnelctl-dir")],
        help: "The folder of edge-agent-x86_64.tar.gz, the agent as it is pushed to each VPS.")
    var agentDir = "/opt/tidegate"

    @Option(help: "Base of the images' names; the uplinks run IMAGE-REPO/uplink:IMAGE-TAG.")
    var imageRepo = "ghcr.io/achetronic/tunnel"

    @Option(help: "The tag of the images.")
    var imageTag = tidegateVersion

    @Option(
        help: """
            Give uplinks' pods the capability MKNOD, which they need where the kernel of a node has no WireGuard; changing it rolls \
            the pods.
            """)
    var uplinkMknod = true

    @Option(help: "EdgeNodes reconciled at the same time; each speaks SSH to its own VPS.")
    var maxConcurrentReconciles = 5

    @Option(help: "Follow EdgeNodes and PortBindings of these namespaces only, separated by commas (default: all).")
    var watchNamespaces = ""

    @Option(help: "Read Secrets of these namespaces only, separated by commas (default: all).")
    var secretNamespaces = ""

    @Option(help: "Stand for election, so that one of several controllers is active; without it the lead is taken at once.")
    var leaderElect = true

    @Option(help: "The namespace of the Lease \(lease).")
    var leaderElectNamespace = "default"

    @OptionGroup var remotes: RemoteOptions

    func validate() throws {
        guard (1...1000).contains(maxConcurrentReconciles) else {
            throw ValidationError("--max-concurrent-reconciles: want 1 to 1000, not \(maxConcurrentReconciles)")
        }
        for (flag, value) in [("--image-repo", imageRepo), ("--image-tag", imageTag)]
        where value.isEmpty || value.contains(where: \.isWhitespace) {
            throw ValidationError("\(flag): want a part of an image's name, not \"\(value)\"")
        }
    }

    func run() async throws {
        // A heap for each thread, kept for ever, would be most of the memory of this process.
        mallopt(M_ARENA_MAX, 1)
        mallopt(M_TRIM_THRESHOLD, 64 << 10)
        let environment = readEnvironment()
        StructuredLogHandler.bootstrap(environment: environment)
        let logger = Logger(label: "tidegate")
        let registry = MetricRegistry()
        let metering = try ControllerMetering(in: registry)
        try ProcessMetrics.register(in: registry)
        let access = try ClusterAccess.load(kubeconfig: kubeconfig, context: context, environment: environment)
        var options = KubernetesClient.Options(agent: "tidegate/\(tidegateVersion)")
        options.report = { report in
            metering.requestEnded(code: report.code, method: report.method.rawValue, host: report.host)
        }
        // What is missing is said before there is a client, which must be shut down.
        let sessions = NodeSessions(
            bundle: try AgentBundle(path: "\(agentDir)/edge-agent-x86_64.tar.gz"), envoy: try envoy.source(folder: agentDir),
            envoyVersion: envoy.envoyVersion, sendsPasswordsUnchecked: tenants.allowsUncheckedPasswords, logger: logger)
        var settings = settings(environment)
        settings.targets = try targets.policy()
        settings.remotes = try remotes.settings()
        let client = try KubernetesClient(access, options: options, logger: logger)
        do {
            try await serve(client, settings, sessions, metering, registry, access, logger)
        } catch {
            await client.shutdown()
            throw error
        }
        await client.shutdown()
    }

    private func serve(
        _ client: KubernetesClient, _ settings: KubernetesController.Settings, _ sessions: NodeSessions,
        _ metering: ControllerMetering, _ registry: MetricRegistry, _ access: ClusterAccess, _ logger: Logger
    ) async throws {
        let controller = KubernetesController(
            client.server, leaseServer: client.leaseServer, settings, sessions: sessions, metering: metering, logger: logger)
        logger.info(
            "controller",
            metadata: ["server": "\(access.server)", "access": "\(access.origin)", "build": "\(sessions.agentBuild)"])
        var services: [any ServiceLifecycle.Service] = [controller]
        services.append(QuietMemory(logger: logger))
        services += try serving.services(controller, client.server, registry, logger: logger)
        let group = ServiceGroup(
            configuration: ServiceGroupConfiguration(
                services: services.map { .init(service: $0, successTerminationBehavior: .gracefullyShutdownGroup) },
                gracefulShutdownSignals: [.sigterm, .sigint], logger: logger))
        try await group.run()
    }

    private func settings(_ environment: [String: String]) -> KubernetesController.Settings {
        KubernetesController.Settings(
            namespaces: names(watchNamespaces), secretNamespaces: names(secretNamespaces), concurrency: maxConcurrentReconciles,
            lease: ObjectName(namespace: leaderElectNamespace, name: Self.lease), electsLeader: leaderElect,
            uplinks: UplinkPodSettings(
                image: "\(imageRepo)/uplink:\(imageTag)",
                environment: environment.filter { ["LOG_FORMAT", "LOG_LEVEL"].contains($0.key) }, makesDevices: uplinkMknod),
            tenants: tenants.policy)
    }

    private func names(_ list: String) -> [String] {
        list.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty }
    }
}
#endif
