/// Something an uplink could not do: what was tried, on what, the cause, and what follows.
public enum UplinkError: Error, Hashable, Sendable, CustomStringConvertible {
    case fileUnreadable(path: String, reason: String)
    /// `reason` begins with the field at fault, such as `content.forwards[3].tunnelPort`.
    case documentInvalid(path: String, reason: String)
    case keyInvalid(path: String, reason: String)
    /// The document has no replica of this ordinal.
    case notListed(ordinal: Int)
    case relayUnresolvable(name: String, reason: String)
    case forwardingOff(reason: String)
    /// A change of the host failed; `cause` says on what.
    case host(cause: String)

    public var description: String {
        switch self {
        case .fileUnreadable(let path, let reason): "cannot read \(path): \(reason)"
        case .documentInvalid(let path, let reason): "the document \(path) is invalid: \(reason)"
        case .keyInvalid(let path, let reason): "the key \(path) cannot be used: \(reason)"
        case .notListed(let ordinal):
            "the document has no replica \(ordinal): it was scaled away; raise spec.uplink.replicas or stop this uplink"
        case .relayUnresolvable(let name, let reason):
            "cannot resolve the relay's name \(name): \(reason); check the EdgeNode's spec.address and this host's DNS"
        case .forwardingOff(let reason):
            "IPv4 forwarding is off and cannot be turned on (\(reason)): let the uplink have CAP_NET_ADMIN, or set the sysctl "
                + "net.ipv4.ip_forward=1 on the host, in Kubernetes in the pod's securityContext.sysctls"
        case .host(let cause): cause
        }
    }
}
