import HostNetwork
import NetworkTypes
import NodeDocument
import WireGuardNetlink

/// What an uplink does to its host. The calls block for milliseconds, and must come one at a time.
struct UplinkHost: Sendable {
    /// Makes the host what `part` says; the endpoint nil leaves the one the device has.
    /// - Returns: what was changed; empty when all was as it should be.
    var settle: @Sendable (_ part: UplinkPart, _ endpoint: WireGuardEndpoint?) throws(UplinkError) -> [HostChange]
    /// What others have set up that may stand in the traffic's way.
    var obstacles: @Sendable () throws(UplinkError) -> [Obstacle]
    var status: @Sendable () throws(UplinkError) -> Status
    /// Forgets the session with the relay, and shakes hands with it anew where it was dialed before.
    var renew: @Sendable (_ peer: WireGuardPeerStatus) throws(UplinkError) -> Void
    /// Sends one small datagram to the relay's tunnel address; what becomes of it shows in the device's status.
    var speak: @Sendable (_ relay: IPv4Address) -> Void
    /// Sends the relay a datagram that makes an IPv4 packet of that many bytes in the tunnel, not to be fragmented.
    var probe: @Sendable (_ relay: IPv4Address, _ bytes: Int) -> Void
    /// Whether the last probe has arrived.
    var probeArrived: @Sendable () -> Bool
    /// Lets conntrack hold that many flows, until `remove`.
    var widenTracking: @Sendable (_ flows: Int) throws(UplinkError) -> Void
    /// Removes everything of ours.
    /// - Returns: what was changed, and what could not be.
    var remove: @Sendable () -> (changes: [HostChange], failures: [UplinkError])

    struct Status: Equatable, Sendable {
        var kind: WireGuardDevice.Kind
        var device: WireGuardDeviceStatus
        var tracking: TrackingRoom.Look
        /// Whether firewall rules were changed since the last `settle`, by whomever, or forwarding was turned off.
        var isTouched: Bool
    }

    enum Obstacle: Hashable, Sendable {
        /// `TABLE CHAIN` of another program: it drops forwarded packets it does not know.
        case firewall(chain: String)
    }
}

extension UplinkHost.Obstacle: CustomStringConvertible {
    var description: String {
        switch self {
        case .firewall(let chain):
            "the firewall chain \(chain) of another program drops forwarded packets it does not know: let it accept what comes "
                + "in or goes out by \(UplinkContent.interface) (with Docker: iptables -I DOCKER-USER -i \(UplinkContent.interface) "
                + "-j ACCEPT, and the same with -o)"
        }
    }
}
