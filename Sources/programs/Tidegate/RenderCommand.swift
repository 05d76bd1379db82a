import ArgumentParser
import Certificates
import Documents
import EdgeAPI
import Enrollment
import EnvoyConfig
import FoundationEssentials
import JSON
import ManifestStore
import NetworkTypes
import NodeDocument
import Planning

struct RenderCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "render", abstract: "Prints every file that would be applied, and touches nothing.",
        discussion: """
            Keys that do not exist yet are shown as zeros; private keys are not shown. Ends with status 1 when a manifest has an \
            error or a binding cannot be planned.
            """)

    @Option(help: "Folder of manifests.")
    var manifests: String

    @Option(help: "Envoy release that the documents name.")
    var envoyVersion = EnvoyOptions.defaultVersion

    @OptionGroup var targets: TargetOptions

    func run() throws {
        var folder = ManifestFolder(path: manifests, settleTime: .zero)
        let snapshot = folder.load()
        var hasFault = false
        for problem in snapshot.problems {
            print("# \(problem)")
            if problem.severity == .error { hasFault = true }
        }
        let objects: [Manifest] = snapshot.edgeNodes.map { .edgeNode($0) } + snapshot.secrets.values.map { .secret($0) }
        for (index, message) in secretProblems(objects, now: Date()) {
            print("# \(objects[index].kind) \(objects[index].name): \(message)")
            hasFault = true
        }
        let policy = try targets.policy()
        for node in snapshot.edgeNodes {
            var input = input(node, snapshot)
            input.targets = policy
            let plan = makePlan(input)
            for line in plan.nodeProblems + [plan.linkProblem].compactMap(\.self) {
                print("# EdgeNode \(node.metadata.objectName): \(line)")
            }
            for exclusion in plan.exclusions {
                print("# binding \(exclusion.binding): \(exclusion.reason.rawValue): \(exclusion.message)")
            }
            if !plan.exclusions.isEmpty || !plan.nodeProblems.isEmpty || plan.linkProblem != nil { hasFault = true }
            try show(plan, of: node)
        }
        if hasFault { throw ExitCode(1) }
    }

    private func input(_ node: EdgeNode, _ snapshot: Snapshot) -> PlanInput {
        let portBindings = snapshot.portBindings.filter { $0.edgeNodeName == node.metadata.objectName }
        let now = Date()
        let keys = (0..<node.spec.uplink.replicas).compactMap { ordinal in placeholderKey.map { (ordinal, $0) } }
        var input = PlanInput(
            node: node, portBindings: portBindings, services: snapshot.services,
            certificates: snapshot.secrets.mapValues { readTLSSecret($0, now: now) },
            uplinkKeys: Dictionary(uniqueKeysWithValues: keys),
            envoyRelease: EnvoyRelease(version: envoyVersion, sha256: nil, url: nil))
        let link = node.spec.tunnel.link
        func read(_ reference: NamespacedReference?) -> (name: ObjectName, secret: Secret?)? {
            (reference?.objectName(in: node.metadata)).map { ($0, snapshot.secrets[$0]) }
        }
        if let certificate = read(link.secretRef) {
            let secrets = readLinkSecrets(certificate, clients: read(link.clientCASecretRef), now: now)
            (input.linkCertificate, input.linkAuthority) = (secrets.source, secrets.authority)
        }
        return input
    }

    private var placeholderKey: WireGuardPublicKey? { WireGuardPublicKey(bytes: [UInt8](repeating: 0, count: 32)) }

    private func show(_ plan: Plan, of node: EdgeNode) throws {
        let name = node.metadata.objectName
        let envoy = EnvoyConfiguration(plan.relay)
        for binding in plan.planned {
            print("# \(binding.listener): binding \(binding.id) leads to \(binding.targetText)")
        }
        print("### EdgeNode \(name): on the VPS, /etc/tidegate/envoy/")
        section(EnvoyPath.bootstrap, envoy.bootstrap(on: nil).json)
        for listener in envoy.listeners { section("listener, \(listener.name)", envoy.resource(listener, on: nil).json) }
        for binding in envoy.bindings { section("cluster, \(binding.name)", envoy.cluster(binding, isCapped: false).json) }
        for cluster in envoy.linkClusters { section("cluster of links", cluster.json) }
        section(UplinkProbes.fileName, envoy.probes.text)
        for secret in envoy.secrets { section("sds/\(secret.name).json", secret.resource.json) }
        for file in envoy.secrets.flatMap(\.files).sorted(by: { $0.name < $1.name }) {
            section(
                "tls/\(file.name)", file.name.hasSuffix(".key") ? "(\(file.contents.utf8.count) bytes, not shown)" : file.contents
            )
        }
        print("### EdgeNode \(name): the relay's WireGuard and host settings")
        section("wg-relay", try text(plan.relay.wireGuard))
        section("host", try text(plan.relay.host))
        guard let key = placeholderKey else { return }
        print("### EdgeNode \(name): for the uplinks")
        section(UplinkDocument.fileName, try text(plan.uplinkContent(relayPublicKey: key)))
    }

    private func section(_ title: String, _ text: String) { print("--- \(title)\n\(text)") }

    private func text(_ value: some Encodable) throws -> String {
        String(decoding: try DocumentJSON.encode(value), as: UTF8.self)
    }
}
