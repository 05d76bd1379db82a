#if Kubernetes
import ArgumentParser
import Controller
import Enrollment
import UplinkWorkload

/// What whoever may write EdgeNodes and PortBindings in one namespace may ask for; docs/security.md.
struct TenantOptions: ParsableArguments {
    @Option(
        name: .customLong("allow-passwords-without-host-key"),
        help: "Send SSH passwords also to servers whose host key nobody checks (ssh.insecureSkipHostKeyVerification).")
    var allowsUncheckedPasswords = false

    @Option(
        name: .customLong("require-service-grants"),
        help: "Let bindings lead to Services of other namespaces only where those allow it, as Secrets always must.")
    var requiresServiceGrants = false

    @Option(help: "EdgeNodes of one namespace; the youngest beyond are left as they are.")
    var maxEdgeNodesPerNamespace = 100

    @Option(
        help: """
            Namespaces that spec.uplink.namespace may name, separated by commas: * is any, NAMESPACE is for all, TENANT:NAMESPACE for \
            EdgeNodes of namespace TENANT alone.
            """)
    var uplinkNamespaces = "*"

    @Option(help: "The most that spec.uplink.replicas may be.")
    var maxUplinkReplicas = UplinkPolicy().mostReplicas

    @Option(name: .customLong("max-uplink-cpu"), help: "Requests and limits of an uplink's pod for CPU; 0 for any.")
    var maxUplinkCPU = "4"

    @Option(help: "The same for memory.")
    var maxUplinkMemory = "4Gi"

    @Option(help: "The same for ephemeral-storage.")
    var maxUplinkStorage = "10Gi"

    @Option(
        help: """
            Keys that spec.uplink.labels may have: * is every one without a prefix, example.com/* every one with it, ** every one.
            """)
    var uplinkLabels = UplinkPolicy().labels.description

    @Option(help: "The same for spec.uplink.annotations.")
    var uplinkAnnotations = UplinkPolicy().annotations.description

    @Option(help: "The same for spec.uplink.tolerations; only ** allows one that has no key.")
    var uplinkTolerations = UplinkPolicy().tolerations.description

    @Option(help: "Names of resources that spec.uplink.resources may have, by the same patterns.")
    var uplinkResources = UplinkPolicy().resources.description

    @Option(
        name: .customLong("allow-foreign-affinity"),
        help: "Let spec.uplink.affinity name pods of other namespaces, which may then be kept off the uplinks' nodes.")
    var allowsForeignAffinity = false

    func validate() throws {
        guard maxEdgeNodesPerNamespace >= 1 else {
            throw ValidationError("--max-edge-nodes-per-namespace: want at least 1, not \(maxEdgeNodesPerNamespace)")
        }
        guard (1...253).contains(maxUplinkReplicas) else {
            throw ValidationError("--max-uplink-replicas: want 1 to 253, not \(maxUplinkReplicas)")
        }
        for (flag, text) in [
            ("--max-uplink-cpu", maxUplinkCPU), ("--max-uplink-memory", maxUplinkMemory),
            ("--max-uplink-storage", maxUplinkStorage),
        ] where Quantity(text) == nil {
            throw ValidationError("\(flag): want an amount such as 500m, 2 or 512Mi, not \"\(text)\"")
        }
    }

    var policy: TenantPolicy {
        var uplinks = UplinkPolicy()
        uplinks.mostReplicas = maxUplinkReplicas
        uplinks.namespaces = UplinkNamespaces(uplinkNamespaces)
        uplinks.labels = KeyPatterns(uplinkLabels)
        uplinks.annotations = KeyPatterns(uplinkAnnotations)
        uplinks.tolerations = KeyPatterns(uplinkTolerations)
        uplinks.resources = KeyPatterns(uplinkResources)
        uplinks.mostCPU = Self.limit(maxUplinkCPU)
        uplinks.mostMemory = Self.limit(maxUplinkMemory)
        uplinks.mostStorage = Self.limit(maxUplinkStorage)
        uplinks.allowsForeignAffinity = allowsForeignAffinity
        return TenantPolicy(
            uplinks: uplinks, mostEdgeNodes: maxEdgeNodesPerNamespace, requiresServiceGrants: requiresServiceGrants)
    }

    private static func limit(_ text: String) -> Quantity? { text == "0" ? nil : Quantity(text) }
}
#endif
