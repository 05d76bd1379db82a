#if Kubernetes
import ArgumentParser
import Controller
import Documents
import EdgeAPI
import ManifestStore
import NetworkTypes

/// How RemoteServices are served.
struct RemoteOptions: ParsableArguments {
    @Option(
        help: """
            The domain whose names all lead to the Ingress controller, such as tunnel.example.com for *.tunnel.example.com: a RemoteService \
            without a host gets NAME-NAMESPACE below it.
            """)
    var wildcardDomain = ""

    @Option(
        help: """
            The command of wstunnel in join Secrets, with %s three times: password, options and host. Default: a plain `wstunnel client`.
            """)
    var clientCommand = ""

    @Option(
        help: """
            Which pods get a RemoteService by themselves: none, annotated (those that ask for it), or virtual-nodes (those too that have ports \
            and are on a node of a virtual kubelet).
            """)
    var exposePods = "none"

    @Option(help: "The namespaces of such pods, separated by commas.")
    var exposePodsNamespaces = ""

    @Option(help: "A file with a RemoteService, which those of such pods are like but for name and ports.")
    var remoteTemplate = ""

    func validate() throws {
        guard let exposure = PodExposure(rawValue: exposePods) else {
            throw ValidationError("--expose-pods: want none, annotated or virtual-nodes, not \"\(printable(exposePods))\"")
        }
        if exposure != .none, namespaces.isEmpty {
            throw ValidationError("--expose-pods-namespaces: name the namespaces of the pods")
        }
        if !wildcardDomain.isEmpty, !isDNSName(domain) {
            throw ValidationError("--wildcard-domain: want a lower-case DNS name, not \"\(printable(wildcardDomain))\"")
        }
        let places = clientCommand.split(separator: "%s", omittingEmptySubsequences: false).count - 1
        if !clientCommand.isEmpty, places != 3 {
            throw ValidationError("--client-command: want %s three times (password, options, host), not \(places) times")
        }
    }

    /// With or without the asterisk.
    private var domain: String { wildcardDomain.hasPrefix("*.") ? String(wildcardDomain.dropFirst(2)) : wildcardDomain }

    private var namespaces: Set<String> {
        Set(exposePodsNamespaces.split(separator: ",").map { $0.filter { !$0.isWhitespace } }.filter { !$0.isEmpty })
    }

    /// - Throws: where the template is none.
    func settings() throws -> RemoteSettings {
        var settings = RemoteSettings(
            wildcardDomain: wildcardDomain.isEmpty ? nil : domain, wstunnelCommand: clientCommand.isEmpty ? nil : clientCommand)
        settings.exposure = PodExposure(rawValue: exposePods) ?? .none
        settings.exposureNamespaces = namespaces
        if !remoteTemplate.isEmpty { settings.template = try template() }
        return settings
    }

    private func template() throws -> RemoteServiceSpec {
        let file = ManifestFile.read(remoteTemplate)
        if let problem = file.problems.first(where: { $0.severity == .error }) {
            throw ValidationError("--remote-template: \(problem)")
        }
        guard file.manifests.count == 1, case .remoteService(let service)? = file.manifests.first?.manifest else {
            throw ValidationError("--remote-template: want one RemoteService in \(remoteTemplate)")
        }
        return service.spec
    }
}
#endif
