import Glibc
import Netlink
public import NetlinkMessages
import NetworkTypes
import RouteNetlink

/// What network cards do to packets before the kernel sees them (ethtool). One thread at a time may use it.
public final class DeviceOffloads {
    private let socket: NetlinkSocket
    private let family: GenericFamily

    /// - Throws: `netlink` with ENOENT on kernels before 5.6, which have no ethtool netlink.
    public init() throws(HostNetworkError) {
        socket = try openSocket(.generic)
        guard let family = try socket.family(DeviceFeatures.family) else {
            throw .netlink(
                NetlinkError(
                    request: "\(GenericFamily.resolve(DeviceFeatures.family))", cause: .refused(errno: ENOENT, message: nil)))
        }
        self.family = family
    }

    /// The merging and splitting of packets (GRO, GSO, TSO, LRO) that is on and could be turned off, sorted.
    public func active(on device: InterfaceName) throws(HostNetworkError) -> [String] {
        let message = DeviceFeatures.get(device, family: family)
        let replies = try socket.ask(message)
        return try message.parse(replies) { reply throws(MalformedNetlink) in try DeviceFeatures(reply) }
            .first?.activeOffloads ?? []
    }

    /// Turns all of that off.
    /// - Returns: the features that are off now and were on; what `enable` takes to put them back. Empty when all were off.
    public func disable(on device: InterfaceName) throws(HostNetworkError) -> [String] {
        let features = try active(on: device)
        guard !features.isEmpty else { return [] }
        _ = try socket.ask(DeviceFeatures.set(features, on: false, of: device, family: family))
        // A driver may keep what others depend on.
        let remaining = try active(on: device)
        return features.filter { !remaining.contains($0) }
    }

    /// Turns features on again.
    public func enable(_ features: [String], on device: InterfaceName) throws(HostNetworkError) {
        guard !features.isEmpty else { return }
        _ = try socket.ask(DeviceFeatures.set(features, on: true, of: device, family: family))
    }
}
