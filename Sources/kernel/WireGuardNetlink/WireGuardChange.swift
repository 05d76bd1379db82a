public import NetlinkMessages
public import NetworkTypes

/// What an update changes of a device; without secrets.
public enum WireGuardChange: Hashable, Sendable {
    public enum Peer: Hashable, Sendable {
        case added(allowedIPs: [IPPrefix])
        case removed
        case presharedKey
        /// - Parameter was: nil where there was none.
        case endpoint(WireGuardEndpoint, was: WireGuardEndpoint?)
        /// Seconds; 0 is off.
        case persistentKeepalive(UInt16, was: UInt16)
        /// In place of those that were.
        case allowedIPs([IPPrefix], were: [IPPrefix])
        /// Beside those that are there.
        case allowedIPsAdded([IPPrefix])
    }

    /// The public keys of both; `was` is nil where there was none.
    case privateKey(of: WireGuardPublicKey, was: WireGuardPublicKey?)
    /// - Parameter was: 0 where there was none.
    case listenPort(Port, was: UInt16)
    /// 0 is none.
    case firewallMark(UInt32, was: UInt32)
    case peer(WireGuardPublicKey, Peer)
}

extension WireGuardChange: CustomStringConvertible {
    public var description: String {
        switch self {
        case .privateKey(let key, let former): "private key of \(key)" + (former.map { " (was of \($0))" } ?? "")
        case .listenPort(let port, let former): "listen port \(port)" + (former == 0 ? "" : " (was \(former))")
        case .firewallMark(let mark, let former): "firewall mark \(mark) (was \(former))"
        case .peer(let key, let change): "peer \(key) \(change)"
        }
    }
}

extension WireGuardChange.Peer: CustomStringConvertible {
    public var description: String {
        func list(_ ranges: [IPPrefix]) -> String { ranges.map(\.description).joined(separator: ", ") }
        return switch self {
        case .added(let ranges): "added (\(list(ranges)))"
        case .removed: "removed"
        case .presharedKey: "preshared key"
        case .endpoint(let endpoint, let former): "endpoint \(endpoint)" + (former.map { " (was \($0))" } ?? "")
        case .persistentKeepalive(let seconds, let former): "persistent keepalive \(seconds) s (was \(former) s)"
        case .allowedIPs(let ranges, let former): "allowed IPs \(list(ranges)) (were \(list(former)))"
        case .allowedIPsAdded(let ranges): "allowed IPs \(list(ranges)) added"
        }
    }
}
