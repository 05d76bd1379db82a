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

    /// Listens where it should, and nowhere else. What was refused is left for later, unless it is later.
    func settle(_ uplink: RelayUplink, isLater: Bool = false) {
        let change = state.withLock { state -> Change? in
            guard var served = state.served[uplink] else { return nil }
            let refusesTCP = !served.links.isAnswering && state.served.values.contains { $0.isReady && $0.links.isAnswering }
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
            TunnelPorts.listen(place, at: uplink.address, links: change.links, on: eventLoop)
                .whenComplete { [self] result in bound(place, uplink, result) }
        }
    }

    /// After a change of its links, or of whether it is ready: those whose links are silent take no connections while another may.
    func settle(changed uplink: RelayUplink) {
        settle(uplink)
        changed()
        let silent = state.withLock { state in state.served.filter { $0.key != uplink && !$0.value.links.isAnswering }.keys }
        for other in silent { settle(other) }
    }

    private func bound(_ place: TunnelPorts.Place, _ uplink: RelayUplink, _ result: Result<any Channel, any Error>) {
        let isKept = state.withLock { state in
            guard state.served[uplink] != nil else { return false }
            state.served[uplink]?.binding.remove(place)
            switch result {
            case .success(let channel):
                state.served[uplink]?.listeners[place] = channel
                state.served[uplink]?.refused[place] = nil
            case .failure(let error): state.served[uplink]?.refused[place] = "\(error)"
            }
            return true
        }
        switch result {
        case .success(let channel):
            // What is wanted may have changed meanwhile.
            if isKept { settle(uplink) } else { channel.close(promise: nil) }
        case .failure(let error):
            logger.warning(
                "a tunnel port cannot be listened at; tried again in 5 s",
                metadata: ["port": "\(place.kind.rawValue) \(uplink.address):\(place.port)", "cause": "\(error)"])
            if isKept { group.next().scheduleTask(in: .seconds(5)) { [self] in settle(uplink, isLater: true) } }
        }
    }
}
