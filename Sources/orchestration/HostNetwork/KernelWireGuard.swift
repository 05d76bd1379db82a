import Glibc
import Netlink
import NetlinkMessages
import NetworkTypes
import WireGuardNetlink

/// The kernel's WireGuard, over generic netlink.
struct KernelWireGuard: WireGuardControl {
    /// The kind of its links (`MODULE_ALIAS_RTNL_LINK` of drivers/net/wireguard).
    static let linkKind = "wireguard"
    let queueLength: UInt32? = nil

    private let name: InterfaceName
    private let interfaces: NetworkInterfaces
    private let socket: NetlinkSocket
    private let family: GenericFamily

    /// - Returns: nil when the kernel has no WireGuard and no module of it to load.
    init?(name: InterfaceName, interfaces: NetworkInterfaces) throws(HostNetworkError) {
        self.name = name
        self.interfaces = interfaces
        socket = try openSocket(.generic)
        guard let family = try socket.family(WireGuardMessages.family) else { return nil }
        self.family = family
    }

    func create() throws(HostNetworkError) { try interfaces.create(name, kind: Self.linkKind) }

    func status() throws(HostNetworkError) -> WireGuardDeviceStatus {
        let message = WireGuardMessages.get(name, family: family)
        let replies = try socket.read(message) { reply throws(MalformedNetlink) in reply }
        do {
            return try WireGuardDeviceStatus(replies)
        } catch let error as MalformedNetlink {
            throw .netlink(NetlinkError(request: "\(message)", cause: .malformed(error)))
        } catch {
            throw .wireGuardKeys(name, reason: "\(error)")
        }
    }

    func apply(_ update: WireGuardDeviceUpdate) throws(HostNetworkError) {
        for message in WireGuardMessages.set(update, on: name, family: family) { _ = try socket.ask(message) }
    }

    func afterRemoval() throws(HostNetworkError) {}
}

extension NetlinkSocket {
    /// - Returns: nil when the kernel does not have the family.
    func family(_ name: String) throws(HostNetworkError) -> GenericFamily? {
        let message = GenericFamily.resolve(name)
        let replies: [NetlinkReply]
        do throws(HostNetworkError) {
            replies = try ask(message)
        } catch {
            if case .netlink(let error) = error, error.errno == ENOENT { return nil }
            throw error
        }
        return try message.parse(replies) { reply throws(MalformedNetlink) in try GenericFamily(reply) }.first
    }
}
