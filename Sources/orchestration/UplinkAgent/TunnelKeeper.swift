import HostNetwork
import NetworkTypes
import NodeDocument
import Sodium
import WireGuardNetlink

/// Decides when what is done to keep the host what the document says; `RunKeeper` does it: the document is read anew when it changes, what
/// others changed is repaired, the relay's name is looked up when it is silent.
///
/// The runner does what `handle` asks for in that order, and hands each answer to `handle` before it goes on. Then it asks what is `due`.
struct TunnelKeeper: Sendable {
    enum Event: Equatable, Sendable {
        case came(KeeperEvents.Event)
        // What follows answers actions.
        case read(Result<Reading, UplinkError>)
        case looked(Result<Look, UplinkError>)
        case settled(Settling, Result<[HostChange], UplinkError>)
        case notRenewed(UplinkError)
        case found([UplinkHost.Obstacle])
        /// Nothing of ours is on the host any more.
        case left
    }

    enum Action: Equatable, Sendable {
        /// Read document and key; nothing new is made of bytes that are known.
        case read(known: Reading?)
        /// Read the device's status, and what else a `Look` holds.
        case look
        case settle(Settling)
        /// Look a name up, while other things go on.
        case lookUp(HostAddress)
        case renew(WireGuardPeerStatus)
        case speak(IPv4Address)
        /// A packet of that many bytes.
        case probe(IPv4Address, bytes: Int)
        /// Let conntrack hold that many flows, for want of room.
        case widenTracking(Int, TrackingRoom.Crowding)
        case findObstacles
        /// Remove all of ours from the host once a link is up; only then answer.
        case leave
        case note(Note)
    }

    /// What was read.
    struct Reading: Equatable, Sendable {
        var part: UplinkPart
        /// Of the document's bytes.
        var source: SHA256Digest
    }

    /// What shall be.
    struct Settling: Equatable, Sendable {
        var part: UplinkPart
        /// Where the relay is to be dialed; nil leaves what the device has.
        var endpoint: WireGuardEndpoint?
    }

    /// What a look at the host gives.
    struct Look: Equatable, Sendable {
        var status: UplinkHost.Status
        /// Whether the relay asks for `/ready` every second.
        var isAskedEachSecond: Bool
        /// Whether the last probe has arrived.
        var probeArrived: Bool
    }

    /// Between looks for drift of every kind; the common kinds show in the status of each second.
    static let checkEvery = Duration.seconds(30)
    /// Until the next attempt after a failure: doubled each time, up to `checkEvery`.
    static let firstRetry = Duration.seconds(1)

    private var known: Reading?
    /// It is not in force yet.
    private var isPending = false
    /// It was in force once: what is missing of it was taken by others.
    private var wasApplied = false
    private var endpoint = RelayEndpoint()
    private var silence = RelaySilence()
    private var tracking = TrackingRoom()
    private var path = PathMTU(limit: 0)
    /// What of `path` is in force.
    private var settledPath: Int?
    private var isLookingUp = false
    /// What is read now is to be settled then, new or not.
    private var isChecking = false
    private var nextCheck = Duration.zero
    private var nextAttempt = Duration.zero
    private var retry = firstRetry
    private var obstacles: [UplinkHost.Obstacle] = []
    private var problem: UplinkError?
    private var crowding: TrackingRoom.Crowding?
    /// Seconds since 1970; nil when there never was one.
    private var lastHandshake: Int64?
    /// The tunnel is there, or was begun.
    private var hasTunnel = false
    /// The document is told of as in force, as links are, though the host refuses the tunnel.
    private var isLinked = false

    /// Whether something of ours may be on the host. Where links alone carry it is not even looked at.
    var mayHaveTunnel: Bool { hasTunnel || known?.part.content.hasWireGuard ?? true }

    mutating func handle(_ event: Event, _ moment: Moment) -> [Action] {
        let now = second(moment)
        switch event {
        case .came(.filesChanged): return [.read(known: known)]
        case .came(.tick):
            guard let known, !isPending else { return [] }
            if known.part.content.hasWireGuard { return [.look] }
            return hasTunnel ? [.leave] : []
        case .came(.resolved(let host, let addresses, let problem)):
            isLookingUp = false
            guard host == endpoint.host else { return [.note(.lookedUp(problem, isCurrent: false))] }
            endpoint.lookedUp(addresses, at: now, handshakeAge: handshakeAge(moment))
            if !addresses.isEmpty { nextCheck = now }
            return [.note(.lookedUp(problem, isCurrent: true))]
        case .read(let result):
            let notes = read(result)
            guard isChecking, let known else { return notes }
            isChecking = false
            guard known.part.content.hasWireGuard else {
                nextCheck = now + Self.checkEvery
                return notes
            }
            return notes + [settle(known.part, moment)]
        case .looked(.failure):
            // The device is gone or broken: find out and repair now.
            nextCheck = .zero
            lastHandshake = nil
            return [.note(.deviceLost)]
        case .looked(.success(let look)): return looked(look, moment)
        case .settled(let settling, .failure(let error)):
            isPending = true
            nextAttempt = now + retry
            retry = min(retry * 2, Self.checkEvery)
            guard settling.part.links != nil, !isLinked else { return fail(error) }
            isLinked = true
            return [.note(.applied(settling.part, []))] + fail(error)
        case .settled(let settling, .success(let changes)): return settled(settling, changes, now)
        case .notRenewed(let error):
            // The look for drift puts right what was left half-way.
            nextCheck = .zero
            return [.note(.notRenewed(error))]
        case .found(let found):
            let new = found.filter { !obstacles.contains($0) }
            obstacles = found
            return new.map { .note(.obstacle($0)) }
        case .left:
            hasTunnel = false
            return []
        }
    }

    /// What time demands; to be asked once after each event from outside and all that it led to.
    mutating func due(_ moment: Moment) -> [Action] {
        let now = second(moment)
        var actions: [Action] = []
        if !isLookingUp,
            let host = endpoint.lookUpNow(now, handshakeAge: handshakeAge(moment), silence: silence.duration(now: now))
        {
            if case .ip(let address) = host {
                endpoint.lookedUp([address], at: now, handshakeAge: handshakeAge(moment))
                nextCheck = now
            } else {
                isLookingUp = true
                actions.append(.lookUp(host))
            }
        }
        guard let known, now >= nextAttempt else { return actions }
        if isPending { return actions + [settle(known.part, moment)] }
        guard now >= nextCheck else { return actions }
        // A lost notice of the watcher costs no more than this long.
        isChecking = true
        return actions + [.read(known: known)]
    }

    // MARK: Reading

    private mutating func read(_ result: Result<Reading, UplinkError>) -> [Action] {
        let reading: Reading
        switch result {
        case .failure(let error): return fail(error)
        case .success(let success): reading = success
        }
        let former = known?.part
        known = reading
        let part = reading.part
        if part == former {
            if isPending { return [] }
            problem = nil
            return [.note(.sound)]
        }
        let links: [Action] = part.links != nil || former?.links != nil ? [.note(.linking(part))] : []
        isLinked = false
        guard part.content.hasWireGuard else {
            isPending = false
            wasApplied = false
            endpoint = RelayEndpoint()
            lastHandshake = nil
            problem = nil
            return links + [.note(.applied(part, []))]
        }
        // Whatever else changes, the path is the same.
        if part.content.mtu != former?.content.mtu || part.content.relay != former?.content.relay {
            path.begin(limit: part.content.mtu)
        }
        isPending = true
        wasApplied = false
        nextAttempt = .zero
        retry = Self.firstRetry
        endpoint.aim(at: part.content.relay)
        return links
    }

    private mutating func looked(_ look: Look, _ moment: Moment) -> [Action] {
        guard let part = known?.part else { return [] }
        let (now, status) = (second(moment), look.status)
        let relay = status.device.peers.first { $0.publicKey == part.relayPublicKey }
        if status.isTouched || relay == nil { nextCheck = .zero }
        var actions: [Action] = []
        switch silence.next(receivedBytes: relay?.receivedBytes ?? 0, isAskedEachSecond: look.isAskedEachSecond, now: now) {
        case .wait: break
        case .speak: actions.append(.speak(part.content.relay.address))
        case .renew(let isFirst):
            guard let relay, let endpoint = relay.endpoint else { break }
            if isFirst { actions.append(.note(.renewing(endpoint))) }
            actions.append(.renew(relay))
        }
        actions += lookAtPath(part, look, moment)
        lastHandshake = relay?.lastHandshake
        let wasCrowded = crowding != nil
        crowding = tracking.next(status.tracking, now: now)
        actions.append(.note(.looked(status, relay, pathMTU: path.found, crowding)))
        // In a pod the limit is the node's, and this process may not.
        if let crowding, let wanted = tracking.wanted, !wasCrowded { actions.append(.widenTracking(wanted, crowding)) }
        return actions
    }

    /// Goes on with a smaller MTU where the path drops what is longer: to stall would be the other choice.
    private mutating func lookAtPath(_ part: UplinkPart, _ look: Look, _ moment: Moment) -> [Action] {
        let (now, before) = (second(moment), path.found)
        let isConnected = handshakeAge(moment).map { $0 <= UplinkCondition.freshFor } ?? false
        var actions: [Action] = []
        if let bytes = path.next(now: now, isConnected: isConnected, arrived: look.probeArrived) {
            actions.append(.probe(part.content.relay.address, bytes: bytes))
        }
        guard let found = path.found, found != before else { return actions }
        nextCheck = now
        return actions + [.note(.narrowPath(found, wanted: part.content.mtu))]
    }

    // MARK: Changing

    private mutating func settle(_ part: UplinkPart, _ moment: Moment) -> Action {
        hasTunnel = true
        return .settle(
            Settling(
                part: part.with(pathMTU: path.found), endpoint: endpoint.endpointToSet(handshakeAge: handshakeAge(moment))))
    }

    private mutating func settled(_ settling: Settling, _ changes: [HostChange], _ now: Duration) -> [Action] {
        let mtuIsNew = settling.part.pathMTU != settledPath
        settledPath = settling.part.pathMTU
        // What this end wants otherwise than before is no repair: another MTU, or where the relay is dialed.
        let isDialing = settling.endpoint != nil && changes.allSatisfy(\.isDialing)
        let isRepair = wasApplied && !mtuIsNew && !isDialing && !changes.isEmpty
        wasApplied = true
        if settling.endpoint != nil {
            endpoint.wasSet()
            path.begin(limit: settling.part.content.mtu)
        }
        retry = Self.firstRetry
        nextCheck = now + Self.checkEvery
        var actions: [Action] = []
        if isPending {
            isPending = false
            problem = nil
            actions = [.note(.applied(settling.part, changes)), .look, .findObstacles]
        } else if !changes.isEmpty, !isRepair {
            actions = [.note(.changed(changes))]
        }
        return isRepair ? actions + [.note(.repaired(changes))] : actions
    }

    private mutating func fail(_ error: UplinkError) -> [Action] {
        defer { problem = error }
        return [.note(.failed(error, isNew: problem != error))]
    }

    // MARK: Time

    /// Whole seconds, as ticks come: what is counted in ticks shall not hang on fractions.
    private func second(_ moment: Moment) -> Duration { .seconds(moment.steady.wholeSeconds) }

    private func handshakeAge(_ moment: Moment) -> Duration? { lastHandshake.map { .seconds(max(0, moment.wall - $0)) } }
}
