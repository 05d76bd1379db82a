import FoundationEssentials
import NetworkTypes
import Sodium

extension ClusterAccess {
    /// Where the kubelet puts a pod's own credentials.
    public static let serviceAccountFolder = "/var/run/secrets/kubernetes.io/serviceaccount"

    /// Finds out which API server is meant, in the order of controller-runtime: `--kubeconfig`; `KUBECONFIG`, several files
    /// merged as kubectl does; the pod's own service account; `~/.kube/config`.
    /// - Parameters:
    ///   - kubeconfig: from `--kubeconfig`; nil or empty when it was not given.
    ///   - context: from `--context`; nil or empty takes the kubeconfig's own. A pod's service account has no contexts, and is
    ///     passed over when one is given.
    ///   - environment: nil takes the process's own.
    public static func load(
        kubeconfig: String? = nil, context: String? = nil,
        environment: [String: String]? = nil,
        serviceAccount: String = ClusterAccess.serviceAccountFolder
    ) throws(ClusterAccessError) -> ClusterAccess {
        let context = context == "" ? nil : context
        let environment = environment ?? ProcessInfo.processInfo.environment
        if let kubeconfig, !kubeconfig.isEmpty {
            return try readKubeconfig(absolute(kubeconfig)).access(context: context)
        }
        if let list = environment["KUBECONFIG"], list.contains(where: { $0 != ":" }) {
            return try merged(list).access(context: context)
        }
        let home = environment["HOME"].map { "\($0)/.kube/config" }
        let homeConfig = home.flatMap { try? readFile($0) }
        if context == nil, let inCluster = try inCluster(environment, serviceAccount, isLastChoice: homeConfig == nil) {
            return inCluster
        }
        if let home, let homeConfig { return try Kubeconfig(homeConfig, file: home).access(context: context) }
        throw ClusterAccessError(
            home ?? "HOME",
            "no way to an API server: --kubeconfig and KUBECONFIG are not given, this is no pod, and this file cannot be read")
    }

    private static func absolute(_ path: String) -> String {
        path.hasPrefix("/") ? path : "\(FileManager.default.currentDirectoryPath)/\(path)"
    }

    private static func readKubeconfig(_ path: String) throws(ClusterAccessError) -> Kubeconfig {
        var text: [UInt8]
        do throws(FileProblem) { text = try readFile(path) } catch { throw error.accessError }
        defer { zero(&text) }
        return try Kubeconfig(text, file: path)
    }

    /// Files that are not there are passed over, as long as one is.
    private static func merged(_ list: String) throws(ClusterAccessError) -> Kubeconfig {
        var result: Kubeconfig?
        for path in list.split(separator: ":") {
            let path = absolute(String(path))
            var text: [UInt8]
            do throws(FileProblem) {
                text = try readFile(path)
            } catch  where error.isMissing {
                continue
            } catch {
                throw error.accessError
            }
            defer { zero(&text) }
            let config = try Kubeconfig(text, file: path)
            if result == nil { result = config } else { result?.merge(config) }
        }
        guard let result else {
            throw ClusterAccessError("KUBECONFIG", "none of its files is there: \(printable(list, limit: 400))")
        }
        return result
    }

    /// - Parameter isLastChoice: whether a pod without a token is an error.
    private static func inCluster(
        _ environment: [String: String], _ folder: String, isLastChoice: Bool
    ) throws(ClusterAccessError) -> ClusterAccess? {
        guard let host = environment["KUBERNETES_SERVICE_HOST"], !host.isEmpty,
            let portText = environment["KUBERNETES_SERVICE_PORT"], !portText.isEmpty
        else { return nil }
        do throws(FileProblem) {
            var token = try readFile("\(folder)/token")
            zero(&token)
        } catch {
            guard isLastChoice else { return nil }
            throw ClusterAccessError(
                error.path, "\(error.message), though this is a pod; does it have automountServiceAccountToken: false?")
        }
        guard let port = UInt16(portText), port > 0 else {
            throw ClusterAccessError("KUBERNETES_SERVICE_PORT", "\(printable(portText)) is no port")
        }
        guard (try? IPAddress(parsing: host)) != nil || isDNSName(host.lowercased()) else {
            throw ClusterAccessError("KUBERNETES_SERVICE_HOST", "\(printable(host)) is neither an address nor a name")
        }
        var access = ClusterAccess(
            server: Server(host: host, port: Int(port)), authority: .these(.file("\(folder)/ca.crt")),
            credential: .tokenFile("\(folder)/token", fallback: nil), origin: "the pod's service account in \(folder)")
        if let bytes = try? readFile("\(folder)/namespace") {
            let name = String(decoding: bytes, as: UTF8.self).trimmed
            if isDNSLabel(name) { access.namespace = name }
        }
        return access
    }
}

extension String {
    var trimmed: String {
        var text = self[...]
        while text.first?.isWhitespace == true { text.removeFirst() }
        while text.last?.isWhitespace == true { text.removeLast() }
        return String(text)
    }
}
