public import KubernetesAPI

/// Leadership could not be had, kept or used.
public enum LeadershipError: Error, Hashable, Sendable, CustomStringConvertible {
    /// It is over: another may lead by now. End the process; a new one stands for election again.
    case lost
    /// The Lease could not be read or written.
    case lease(String, APIError)
    case cancelled

    public var description: String {
        switch self {
        case .lost: "leadership is lost: the Lease was not renewed in time, or another holds it; nothing more is written"
        case .lease(let name, let error): "the Lease \(name) cannot be used: \(error)"
        case .cancelled: "cancelled"
        }
    }
}
