/// Who may change a host: one EdgeNode of one installation.
public struct Owner: Hashable, Codable, Sendable, CustomStringConvertible {
    /// The installation: the uid of the cluster's kube-system namespace, or the random id in a state folder.
    public var installation: String
    public var namespace: String
    public var name: String

    public init(installation: String, namespace: String, name: String) {
        self.installation = installation
        self.namespace = namespace
        self.name = name
    }

    public var description: String { "\(namespace)/\(name) of installation \(installation)" }
}
