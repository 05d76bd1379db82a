import HostNetwork
import Logging
import NetworkTypes
import NodeDocument
import WireGuardNetlink

extension TunnelKeeper {
    /// What is told of the tunnel, to the status and to the log.
    enum Note: Equatable, Sendable {
        case applied(UplinkPart, [HostChange])
        /// It has links, or had: they are to be as it says, and streams to lead where it says.
        case linking(UplinkPart)
        /// By what this end wants otherwise than before.
        case changed([HostChange])
        /// What others had changed.
        case repaired([HostChange])
        case failed(UplinkError, isNew: Bool)
        /// Document and key can be read, and are in force.
        case sound
        /// - Parameter isCurrent: whether it is the name that the document has now.
        case lookedUp(UplinkError?, isCurrent: Bool)
        case deviceLost
        case looked(UplinkHost.Status, WireGuardPeerStatus?, pathMTU: Int?, TrackingRoom.Crowding?)
        case renewing(WireGuardEndpoint)
        case notRenewed(UplinkError)
        /// Bytes, and those of the document.
        case narrowPath(Int, wanted: Int)
        case widened(Int, TrackingRoom.Crowding)
        case notWidened(TrackingRoom.Crowding, UplinkError)
        case obstacle(UplinkHost.Obstacle)
        case removed([HostChange])
        case notRemoved(UplinkError)
    }
}

extension UplinkCondition {
    /// - Parameter now: of the steady clock.
    mutating func take(_ note: TunnelKeeper.Note, at now: Duration) {
        switch note {
        case .applied(let part, _):
            hash = part.hash
            if forwards != part.content.forwards {
                forwards = part.content.forwards
                hosts = Dictionary(
                    part.content.forwards.compactMap { forward in part.content.host(of: forward).map { (forward.binding, $0) } },
                    uniquingKeysWith: { first, _ in first })
            }
            ways = part.ways
            let hasWireGuard = part.content.hasWireGuard
            address = hasWireGuard ? part.address : nil
            relayAddress = hasWireGuard ? part.content.relay.address : nil
            if !hasWireGuard { forgetTunnel() }
            problem = nil
            counters.applies += 1
        case .repaired(let changes):
            counters.repairs += UInt64(changes.count)
            lastRepair = changes
        case .failed(let error, _):
            counters.failures += 1
            problem = error
        case .sound: problem = nil
        case .lookedUp(let problem, _): relayProblem = problem
        case .deviceLost: lastHandshake = nil
        case .looked(let status, let relay, let pathMTU, let crowding):
            wireGuardKind = status.kind
            lastHandshake = relay?.lastHandshake
            rhythm.count(receivedBytes: relay?.receivedBytes ?? 0, at: now)
            receivedBytes = relay?.receivedBytes ?? 0
            sentBytes = relay?.sentBytes ?? 0
            self.pathMTU = pathMTU
            trackedConnections = status.tracking.flows
            trackedConnectionsLimit = status.tracking.limit
            self.crowding = crowding
        case .linking, .changed, .renewing, .notRenewed, .narrowPath, .widened, .notWidened, .obstacle, .removed, .notRemoved:
            break
        }
    }
}

extension UplinkCondition {
    /// There is none any more, or not yet.
    private mutating func forgetTunnel() {
        (lastHandshake, wireGuardKind, pathMTU, crowding) = (nil, nil, nil, nil)
        (trackedConnections, trackedConnectionsLimit, relayProblem) = (nil, nil, nil)
        (receivedBytes, sentBytes) = (0, 0)
        rhythm = RelayRhythm()
    }
}

extension Logger {
    func tell(_ note: TunnelKeeper.Note) {
        switch note {
        case .applied(let part, let changes):
            info("document applied", metadata: ["hash": "\(part.hash)", "changes": "\(HostChange.words(changes))"])
            for refused in part.refused.prefix(10) {
                warning(
                    "left out: no binding may lead there",
                    metadata: ["binding": "\(printable(refused.forward.binding))", "reason": "\(refused.reason)"])
            }
        case .changed(let changes): info("changed", metadata: ["changes": "\(HostChange.words(changes))"])
        case .repaired(let changes): notice("put right", metadata: ["changes": "\(HostChange.words(changes))"])
        case .failed(let problem, isNew: true): error("cannot apply", metadata: ["reason": "\(problem)"])
        case .lookedUp(let problem?, isCurrent: true):
            warning("the relay's name has no answer", metadata: ["reason": "\(problem)"])
        case .renewing(let endpoint):
            notice("the relay is silent: beginning the session anew", metadata: ["endpoint": "\(endpoint)"])
        case .notRenewed(let problem): error("cannot begin the session anew", metadata: ["reason": "\(problem)"])
        case .narrowPath(let found, let wanted):
            warning(
                "the path to the relay drops packets of the tunnel's size without a word; going on with smaller ones",
                metadata: ["mtu": "\(found)", "spec.tunnel.mtu": "\(wanted)"])
        case .widened(let limit, let crowding):
            notice("raised net.netfilter.nf_conntrack_max", metadata: ["limit": "\(limit)", "reason": "\(crowding)"])
        case .notWidened(let crowding, let problem): warning("\(crowding)", metadata: ["reason": "\(problem)"])
        case .obstacle(let obstacle): warning("\(obstacle)")
        case .removed(let changes): info("removed", metadata: ["changes": "\(HostChange.words(changes))"])
        case .notRemoved(let problem): error("cannot remove", metadata: ["reason": "\(problem)"])
        case .linking, .failed(_, isNew: false), .sound, .lookedUp, .deviceLost, .looked: break
        }
    }
}
