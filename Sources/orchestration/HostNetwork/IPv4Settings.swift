import Glibc
public import NetlinkMessages
import NetworkTypes
import RouteNetlink

/// What /proc/sys/net/ipv4 has of the interfaces, set over netlink: that needs no /proc/sys that can be written.
extension NetworkInterfaces {
    /// Turns forwarding on for every interface but the loopback, as writing 1 to `net.ipv4.ip_forward` does; that setting itself
    /// goes on reading 0.
    /// - Returns: those it was off for.
    public func turnForwardingOn() throws(HostNetworkError) -> [InterfaceName] {
        var changed: [InterfaceName] = []
        for link in try links() where link.ipv4(.forwarding) == 0 {
            guard let name = InterfaceName(link.name), name.description != "lo" else { continue }
            if try turn(.forwarding, on: true, for: name) { changed.append(name) }
        }
        return changed.sorted()
    }

    public func turnForwardingOff(_ names: [InterfaceName]) throws(HostNetworkError) {
        for name in names { _ = try turn(.forwarding, on: false, for: name) }
    }

    /// - Returns: whether it was otherwise; false too when the interface is gone.
    private func turn(_ setting: IPv4Setting, on: Bool, for name: InterfaceName) throws(HostNetworkError) -> Bool {
        guard let link = try link(name), let value = link.ipv4(setting), (value != 0) != on else { return false }
        _ = try ask(link.set(setting, to: on ? 1 : 0))
        return true
    }
}

/// Whether this network namespace forwards IPv4.
public enum Forwarding {
    case everywhere(SysctlChange?)
    /// In a container /proc/sys is read-only; the interfaces are ours all the same. Those it was off for.
    case byInterface([InterfaceName])

    static func key() throws(HostNetworkError) -> SysctlKey {
        guard let key = SysctlKey("net.ipv4.ip_forward") else {
            throw .system(attempt: "name net.ipv4.ip_forward", errno: EINVAL)
        }
        return key
    }

    /// Whether it is on everywhere.
    public static func isOn() throws(HostNetworkError) -> Bool { try Sysctl.read(key()) != "0" }

    public static func turnOn() throws(HostNetworkError) -> Forwarding {
        do throws(HostNetworkError) {
            return .everywhere(try Sysctl.set(key(), to: "1"))
        } catch  where error.isRefusal {
            return .byInterface(try NetworkInterfaces().turnForwardingOn())
        }
    }

    public static func turnOff() throws(HostNetworkError) -> SysctlChange? { try Sysctl.set(key(), to: "0") }

    public var changes: [HostChange] {
        switch self {
        case .everywhere(let change): change.map { [.setting($0)] } ?? []
        case .byInterface(let names): names.map { .link($0, .forwarding(true)) }
        }
    }
}
