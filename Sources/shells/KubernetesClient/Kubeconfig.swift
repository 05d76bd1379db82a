import EdgeAPI
import KubernetesAPI
import NetworkTypes
import YAML

/// One kubeconfig, or several merged (kubernetes.io: "Organizing Cluster Access Using kubeconfig Files").
///
/// Only what a chosen context uses is looked at in full: a broken user of another context is no matter.
struct Kubeconfig: Sendable {
    var currentContext: String?
    var clusters: [String: ConfigField] = [:]
    var users: [String: ConfigField] = [:]
    var contexts: [String: ConfigField] = [:]
    /// The files it was read from.
    var files: [String]

    /// - Parameter file: an absolute path; relative paths in the text are relative to its folder.
    init(_ text: [UInt8], file: String) throws(ClusterAccessError) {
        files = [file]
        let (documents, problem) = readYAML(text)
        if let problem { throw ClusterAccessError(file, "\(problem)") }
        guard documents.count <= 1 else { throw ClusterAccessError(file, "want one YAML document, there are \(documents.count)") }
        let root = ConfigField(file: file, path: "", node: documents.first)
        if let kind = try root.child("kind").text(), kind != "Config" {
            throw try root.child("kind").fail("\(printable(kind)) is no kubeconfig; want Config")
        }
        currentContext = try root.child("current-context").text()
        clusters = try Self.named(root.child("clusters"), "cluster")
        users = try Self.named(root.child("users"), "user")
        contexts = try Self.named(root.child("contexts"), "context")
    }

    private static func named(_ list: ConfigField, _ inner: String) throws(ClusterAccessError) -> [String: ConfigField] {
        var result: [String: ConfigField] = [:]
        for item in try list.items() {
            let name = try item.child("name").required()
            let value = try item.child(inner)
            guard result.updateValue(value, forKey: name) == nil else {
                throw item.fail("the name \(printable(name)) stands twice")
            }
        }
        return result
    }

    /// Adds what `other`, a later file, says of names that nobody named yet: the first file to name something decides on it
    /// as a whole.
    mutating func merge(_ other: Kubeconfig) {
        files += other.files
        if currentContext == nil { currentContext = other.currentContext }
        clusters.merge(other.clusters) { first, _ in first }
        users.merge(other.users) { first, _ in first }
        contexts.merge(other.contexts) { first, _ in first }
    }
}
