public import NFTables
public import NetlinkMessages
public import NetworkTypes
public import WireGuardNetlink

/// Something of the host's network that was changed; put into words only where it is logged or shown.
public enum HostChange: Hashable, Sendable {
    public enum Link: Hashable, Sendable {
        case created(WireGuardDevice.Kind)
        case removed
        /// Bytes.
        case mtu(UInt32, was: UInt32)
        /// Packets.
        case queue(UInt32, was: UInt32)
        case up
        case addressAdded(IPPrefix)
        case addressRemoved(IPPrefix)
        case routeAdded(CIDR)
        case routeRemoved(IPPrefix)
        case wireGuard(WireGuardChange)
        /// Whether it forwards IPv4 from now on.
        case forwarding(Bool)
    }

    case link(InterfaceName, Link)
    case setting(SysctlChange)
    /// Of the table `ip tidegate`.
    case ruleset(RulesetChange.Kind)
    /// Of a table without maps; the reason is what of a former one differed, nil where there was none.
    case fixedTable(String, replacedFor: String?)
    case rulesetRemoved(table: String)
    /// How many UDP flows conntrack held to targets of before.
    case flowsForgotten(Int)
}

extension HostChange {
    /// Whether it says but where a peer is dialed, and how often it is spoken to.
    public var isDialing: Bool {
        switch self {
        case .link(_, .wireGuard(.peer(_, .endpoint))), .link(_, .wireGuard(.peer(_, .persistentKeepalive))): true
        default: false
        }
    }

    /// For a log or a status, all on one line.
    public static func words(_ changes: [HostChange]) -> String { changes.map(\.description).joined(separator: "; ") }
}

extension HostChange: CustomStringConvertible {
    public var description: String {
        switch self {
        case .link(let name, let change): "\(name): \(change)"
        case .setting(let change): "\(change)"
        case .ruleset(let change): "\(change)"
        case .fixedTable(let table, nil): "nftables: made table ip \(table)"
        case .fixedTable(let table, let reason?): "nftables: put table ip \(table) in place anew, since \(reason) differed"
        case .rulesetRemoved(let table): "nftables: removed table ip \(table)"
        case .flowsForgotten(let count): "conntrack: forgot \(count) UDP flows of former targets"
        }
    }
}

extension HostChange.Link: CustomStringConvertible {
    public var description: String {
        switch self {
        case .created(.kernel): "created (the kernel's WireGuard)"
        case .created(.userspace): "created (wireguard-go)"
        case .removed: "removed"
        case .mtu(let bytes, let former): "MTU \(bytes) (was \(former))"
        case .queue(let packets, let former): "queue of \(packets) packets (was \(former))"
        case .up: "up"
        case .addressAdded(let prefix): "address \(prefix) added"
        case .addressRemoved(let prefix): "address \(prefix) removed"
        case .routeAdded(let network): "route to \(network) added"
        case .routeRemoved(let network): "route to \(network) removed"
        case .wireGuard(let change): "\(change)"
        case .forwarding(true): "forwards"
        case .forwarding(false): "forwards no more"
        }
    }
}
