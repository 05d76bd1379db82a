import LinkStreams
import Logging
import NIOCore
import NetworkTypes
import Synchronization

/// Which tunnel ports are listened at.
extension LinkRelay {
    private struct Change {
        let closing: [any Channel]
        let opening: [TunnelPorts.Place: any EventLoop]
        let links: UplinkLinks
    }

    /// Listens where it should, and nowhere else. A refused port waits for the next try, unless this is it. It takes a time that grows with
    /// the ports, and is done when links come and go.
    func settle(_ uplink: RelayUplink, isLater: Bool = false) {
        let change = state.withLock { state -> Change? in
            guard var served = state.served[uplink] else { return nil }
            let refusesTCP = state.refusesTCP(served)
            let wanted =
                state.phase == .draining
                ? [:] : TunnelPorts.places(state.service, on: served.links.eventLoops, refusesTCP: refusesTCP)
            // A port that is to be listened at on another event loop stays with the former one until it is.
            let coming = Set(wanted.keys.filter { served.listeners[$0] == nil }.map(\.socket))
            let unwanted = served.listeners.filter { wanted[$0.key] == nil && !coming.contains($0.key.socket) }
            for place in unwanted.keys { served.listeners[place] = nil }
            served.refused = isLater ? [:] : served.refused.filter { wanted[$0.key] != nil }
            let opening = wanted.filter { place, _ in
                served.listeners[place] == nil && served.refused[place] == nil && !served.binding.contains(place)
            }
            served.binding.formUnion(opening.keys)
            state.served[uplink] = served
            return Change(closing: Array(unwanted.values), opening: opening, links: served.links)
        }
        guard let change else { return }
        for channel in change.closing { channel.close(promise: nil) }
        for (place, eventLoop) in change.opening {
            let rest = { @Sendable [self] in state.withLock { $0.service.udpRests[place.port] } ?? UDPSessions.rest }
            TunnelPorts.listen(place, at: uplink.address, links: change.links, on: eventLoop, rest: rest)
                .whenComplete { [self] result in bound(place, uplink, result) }
        }
    }

    /// After a change of its links, or of whether it is ready: those whose links are silent take no connections while another may.
    func settle(changed uplink: RelayUplink) {
        settle(uplink)
        changed()
        let silent = state.withLock { state -> [RelayUplink] in
            let isAnyAnswering = state.isAnswering
            defer { state.isAnyAnswering = isAnyAnswering }
            // For the silent ones nothing else is of interest.
            guard isAnyAnswering != state.isAnyAnswering else { return [] }
            return state.served.filter { $0.key != uplink && !$0.value.links.isAnswering }.map(\.key)
        }
        for other in silent { settle(other) }
    }

    /// Done for each port: it takes a time that does not grow with their number.
    private func bound(_ place: TunnelPorts.Place, _ uplink: RelayUplink, _ result: Result<any Channel, any Error>) {
        switch result {
        case .success(let channel): for former in listens(channel, at: place, uplink) { former.close(promise: nil) }
        case .failure(let error):
            let isFirst = state.withLock { state in
                guard let wasDue = state.served[uplink]?.isRetryDue else { return false }
                state.served[uplink]?.binding.remove(place)
                state.served[uplink]?.refused[place] = "\(error)"
                state.served[uplink]?.isRetryDue = true
                return !wasDue
            }
            // Thousands may be refused for one reason, and are told in the status.
            guard isFirst else { return }
            logger.warning(
                "a tunnel port cannot be listened at; tried again in 5 s, with others",
                metadata: ["port": "\(place.kind.rawValue) \(uplink.address):\(place.port)", "cause": "\(error)"])
            group.next().scheduleTask(in: .seconds(5)) { [self] in
                state.withLock { $0.served[uplink]?.isRetryDue = false }
                settle(uplink, isLater: true)
            }
        }
    }

    /// Returns what is to be closed: those of other event loops that waited for this one, or itself where it is not wanted any more.
    private func listens(_ channel: any Channel, at place: TunnelPorts.Place, _ uplink: RelayUplink) -> [any Channel] {
        state.withLock { state in
            guard let links = state.served[uplink]?.links else { return [channel] }
            state.served[uplink]?.binding.remove(place)
            state.served[uplink]?.refused[place] = nil
            let eventLoops = links.eventLoops.map { ObjectIdentifier($0) }
            let isServed = state.phase != .draining && state.service.has(place.socket)
            let isWanted =
                isServed && eventLoops.contains(place.eventLoop)
                && !(place.kind == .tcp && state.served[uplink].map(state.refusesTCP) ?? true)
            guard isWanted else { return [channel] }
            state.served[uplink]?.listeners[place] = channel
            return group.makeIterator().compactMap { loop in
                let other = TunnelPorts.Place(kind: place.kind, port: place.port, eventLoop: ObjectIdentifier(loop))
                return eventLoops.contains(other.eventLoop) ? nil : state.served[uplink]?.listeners.removeValue(forKey: other)
            }
        }
    }
}

extension LinkRelay.State {
    /// Whether some uplink takes connections, and answers.
    var isAnswering: Bool { served.values.contains { $0.isReady && $0.links.isAnswering } }

    /// Whether connections for this one are to go to another.
    fileprivate func refusesTCP(_ one: LinkRelay.Served) -> Bool { !one.links.isAnswering && isAnswering }
}

extension RelayService {
    fileprivate func has(_ socket: TunnelPorts.Socket) -> Bool {
        switch socket.kind {
        case .tcp: tcpPorts.contains(socket.port)
        case .udp: udpPorts.contains(socket.port)
        }
    }
}
