import NetworkTypes

/// The way to an API server, or the credentials for it, could not be read.
public struct ClusterAccessError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The file, with the field in it, such as `/root/.kube/config: users[0].user.token`; or the environment's variable.
    public var place: String
    /// What is wrong there, and what to do. Never a secret.
    public var message: String

    public init(_ place: String, _ message: String) {
        self.place = place
        self.message = message
    }

    public var description: String { "\(printable(place, limit: 400)): \(message)" }
}
