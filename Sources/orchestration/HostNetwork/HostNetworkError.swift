import Glibc
public import Netlink
public import NetlinkMessages
public import NetworkTypes
import Syscalls

/// Something about the host's network that could not be read or changed.
public enum HostNetworkError: Error, Sendable {
    case netlink(NetlinkError)
    /// An interface of our name is there that is no WireGuard device; `kind` nil is hardware.
    case foreignInterface(InterfaceName, kind: String?)
    /// The kernel has no WireGuard and there is no way to start wireguard-go.
    case noWireGuard(InterfaceName)
    case noInterface(InterfaceName)
    /// Another interface has an address inside `network`: its traffic would take the wrong way.
    case networkInUse(IPPrefix, interface: String, address: IPPrefix)
    /// Another interface has a route to exactly `network`.
    case routeInUse(CIDR, interface: String)
    /// wireguard-go did not start, did not answer, or refused; `reason` says which.
    case wireGuardGo(InterfaceName, reason: String)
    /// wireguard-go would have no /dev/net/tun.
    case noTun(attempt: String, errno: Int32)
    /// The keys could not be computed with or kept safe.
    case wireGuardKeys(InterfaceName, reason: String)
    /// A kernel setting that was written but reads differently.
    case settingNotKept(SysctlKey, wanted: String, found: String)
    /// A call on a file of the kernel or a socket failed.
    case system(attempt: String, errno: Int32)
}

extension HostNetworkError: CustomStringConvertible {
    public var description: String {
        switch self {
        case .netlink(let error): "\(error)"
        case .foreignInterface(let name, let kind):
            "an interface \(name) of kind \(kind ?? "hardware") is there already and is not ours; remove or rename it"
        case .noWireGuard(let name):
            "cannot make \(name): this kernel has no WireGuard and there is no wireguard-go; "
                + "install the kernel's wireguard module or provide wireguard-go"
        case .noInterface(let name): "there is no interface \(name)"
        case .networkInUse(let network, let interface, let address):
            "the tunnel's network \(network) overlaps \(address) of interface \(interface) on this host; set spec.tunnel.network of the "
                + "EdgeNode (spec.mesh.network of a RemoteService) to one that is free there, such as 172.27.0.0/24"
        case .routeInUse(let network, let interface):
            "a route to \(network) already leads through interface \(interface); remove it, or name another network"
        case .wireGuardGo(let name, let reason): "wireguard-go for \(name): \(reason)"
        case .noTun(let attempt, let errno):
            "this kernel has no WireGuard, and wireguard-go would have no /dev/net/tun (\(attempt): \(errorText(errno))): load the "
                + "kernel's module wireguard on this host, which needs no such device; or its module tun, and let the container "
                + "have /dev/net/tun and CAP_MKNOD (with CRI-O by the pod's annotation io.kubernetes.cri-o.Devices)"
        case .wireGuardKeys(let name, let reason): "the keys of \(name): \(reason)"
        case .settingNotKept(let key, let wanted, let found):
            "the kernel setting \(key) reads \(printable(found)) after \(printable(wanted)) was written; "
                + "something else on the host sets it"
        case .system(let attempt, let errno): "\(attempt): \(errorText(errno))"
        }
    }
}

extension HostNetworkError {
    /// Whether the host, or the container we run in, does not let us: what is set by another way may go.
    public var isRefusal: Bool {
        if case .system(_, let errno) = self { [EROFS, EACCES, EPERM].contains(errno) } else { false }
    }
}

/// Runs calls of the system, with what failed in our terms.
/// - Parameter attempt: what was tried, on what.
func attempting<Value>(
    _ attempt: @autoclosure () -> String, _ body: () throws(SystemFailure) -> Value
) throws(HostNetworkError) -> Value {
    do throws(SystemFailure) { return try body() } catch { throw .system(attempt: attempt(), errno: error.code) }
}

/// The text of a file of the kernel.
/// - Parameter limit: bytes; a longer one is an error.
/// - Returns: nil when there is no such file.
func kernelFile(_ path: String, limit: Int) throws(HostNetworkError) -> String? {
    do throws(SystemFailure) {
        return String(decoding: try Descriptor.contents(of: path, limit: limit), as: UTF8.self)
    } catch {
        if error.code == ENOENT { return nil }
        throw .system(attempt: "\(error.call) \(path)", errno: error.code)
    }
}

/// `EACCES: Permission denied`.
func errorText(_ errno: Int32) -> String { NetlinkError.text(errno: errno) }

extension NetlinkSocket {
    func ask(_ message: NetlinkMessage) throws(HostNetworkError) -> [NetlinkReply] {
        do {
            return try request(message)
        } catch {
            throw .netlink(error)
        }
    }

    /// Every answer to a dump that `parse` makes something of.
    func read<Value>(
        _ message: NetlinkMessage, _ parse: (NetlinkReply) throws(MalformedNetlink) -> Value?
    ) throws(HostNetworkError) -> [Value] {
        let replies: [NetlinkReply]
        do {
            replies = try dump(message)
        } catch {
            throw .netlink(error)
        }
        return try message.parse(replies, parse)
    }
}

extension NetlinkMessage {
    func parse<Value>(
        _ replies: [NetlinkReply], _ parse: (NetlinkReply) throws(MalformedNetlink) -> Value?
    ) throws(HostNetworkError) -> [Value] {
        var values: [Value] = []
        for reply in replies {
            do throws(MalformedNetlink) {
                if let value = try parse(reply) { values.append(value) }
            } catch {
                throw .netlink(NetlinkError(request: "\(self)", cause: .malformed(error)))
            }
        }
        return values
    }
}

/// - Throws: the error in our terms.
func openSocket(_ family: NetlinkSocket.Family) throws(HostNetworkError) -> NetlinkSocket {
    do {
        return try NetlinkSocket(family)
    } catch {
        throw .netlink(error)
    }
}
