import Glibc
import Netlink
public import NetlinkMessages
public import NetworkTypes
import RouteNetlink
public import WireGuardNetlink

/// A WireGuard interface, in the kernel or in wireguard-go; what it says and does is the same for both.
///
/// Every change says what it did, and nothing when all was as it should be. One thread at a time may use it, in
/// the network namespace of the thread that opened it.
public final class WireGuardDevice {
    public enum Kind: String, Hashable, Sendable {
        case kernel
        /// wireguard-go over its socket.
        case userspace
    }

    public enum Preference: Hashable, Sendable {
        /// wireguard-go only where the kernel has no WireGuard.
        case kernelFirst
        case userspace
    }

    public let name: InterfaceName
    public let kind: Kind
    private let interfaces: NetworkInterfaces
    private let control: any WireGuardControl

    /// Finds out of which kind the interface is, or would be; makes nothing yet. An interface that is there keeps its kind.
    /// - Parameter startUserspace: starts wireguard-go for the interface when there is none yet (`WireGuardGo.start`, or a
    ///   systemd unit); nil where it cannot be.
    /// - Throws: `foreignInterface` when something else has the name.
    public static func open(
        _ name: InterfaceName, preferring preference: Preference = .kernelFirst,
        startUserspace: ((InterfaceName) throws -> Void)? = nil
    ) throws(HostNetworkError) -> WireGuardDevice {
        let interfaces = try NetworkInterfaces()
        let userspace = UserspaceWireGuard(name: name, interfaces: interfaces, start: startUserspace)
        if let link = try interfaces.link(name) {
            switch link.kind {
            case KernelWireGuard.linkKind:
                guard let kernel = try KernelWireGuard(name: name, interfaces: interfaces) else { throw .noWireGuard(name) }
                return WireGuardDevice(name, .kernel, interfaces, kernel)
            case UserspaceWireGuard.linkKind: return WireGuardDevice(name, .userspace, interfaces, userspace)
            default: throw .foreignInterface(name, kind: link.kind)
            }
        }
        if preference == .kernelFirst, let kernel = try KernelWireGuard(name: name, interfaces: interfaces) {
            return WireGuardDevice(name, .kernel, interfaces, kernel)
        }
        return WireGuardDevice(name, .userspace, interfaces, userspace)
    }

    private init(_ name: InterfaceName, _ kind: Kind, _ interfaces: NetworkInterfaces, _ control: any WireGuardControl) {
        self.name = name
        self.kind = kind
        self.interfaces = interfaces
        self.control = control
    }

    /// Whether the interface is there.
    public func isPresent() throws(HostNetworkError) -> Bool { try interfaces.link(name) != nil }

    /// Makes the interface if it is missing, and gives it exactly these addresses, this MTU and these routes.
    /// - Parameters:
    ///   - addresses: with the prefix length of their network.
    ///   - mtu: bytes.
    ///   - routes: networks behind the interface; the networks of its own addresses need none.
    /// - Throws: `networkInUse` before anything is made, when another interface has an address in one of the networks.
    public func ensureInterface(
        addresses: [IPPrefix], mtu: UInt32, routes: [CIDR] = []
    ) throws(HostNetworkError) -> [HostChange] {
        try interfaces.refuseOverlap(addresses, except: name)
        var changes: [HostChange] = []
        if try interfaces.link(name) == nil {
            try control.create()
            changes.append(.link(name, .created(kind)))
        }
        return changes
            + (try interfaces.settle(
                name, addresses: addresses, mtu: mtu, queueLength: control.queueLength, routes: routes))
    }

    /// Sets keys, port and peers. Only what differs is sent: the sessions of peers that stay as they are go on.
    public func configure(_ configuration: WireGuardDeviceConfiguration) throws(HostNetworkError) -> [HostChange] {
        let current = try control.status()
        let update: WireGuardDeviceUpdate
        do {
            update = try WireGuardDeviceUpdate(from: current, to: configuration)
        } catch {
            throw .wireGuardKeys(name, reason: "\(error)")
        }
        guard !update.isEmpty else { return [] }
        try control.apply(update)
        return update.changes.map { .link(name, .wireGuard($0)) }
    }

    /// Ends these sessions and forgets their handshakes, so that a peer whose clock was set back can begin a new one.
    public func forget(_ peers: [WireGuardPeerStatus]) throws(HostNetworkError) {
        try control.apply(WireGuardDeviceUpdate(forgetting: peers))
    }

    /// - Throws: `noInterface` when it is not there.
    public func status() throws(HostNetworkError) -> WireGuardDeviceStatus {
        guard try isPresent() else { throw .noInterface(name) }
        return try control.status()
    }

    /// Removes the interface; a wireguard-go that was started for it ends.
    public func remove() throws(HostNetworkError) -> [HostChange] {
        guard try interfaces.delete(name) else { return [] }
        try control.afterRemoval()
        return [.link(name, .removed)]
    }
}

/// What differs between the two kinds.
protocol WireGuardControl {
    /// Packets that may wait for it; nil where none wait in the link.
    var queueLength: UInt32? { get }
    /// Makes the link.
    func create() throws(HostNetworkError)
    func status() throws(HostNetworkError) -> WireGuardDeviceStatus
    func apply(_ update: WireGuardDeviceUpdate) throws(HostNetworkError)
    /// Cleans up after the link is gone.
    func afterRemoval() throws(HostNetworkError)
}
