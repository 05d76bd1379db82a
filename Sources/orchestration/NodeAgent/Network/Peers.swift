import NetworkTypes
import NodeDocument
import WireGuardNetlink

/// The uplinks as the relay sees them.
struct Peers {
    let host: Host

    /// An uplink whose last handshake is older has no session to answer through (`REJECT_AFTER_TIME`, WireGuard's paper, section 6.1).
    private static let sessionSeconds = 180

    /// - Parameter device: the relay's; nil while there is none.
    /// - Parameter word: of the prober, which spares the uplinks the question; nil while there is none.
    /// - Parameter links: of the link program; nil while there is none.
    func report(
        _ content: RelayContent, _ device: WireGuardDeviceStatus?, _ word: UplinkWord?, _ links: LinkStatusFile?
    ) -> [PeerReport] {
        guard let device else { return [] }
        let now = host.now()
        let peers = content.wireGuard.peers
        var reports = peers.map { peer -> PeerReport in
            let status = device.peers.first { $0.publicKey == peer.publicKey }
            var report = PeerReport(
                ordinal: peer.ordinal, publicKey: peer.publicKey,
                handshakeAge: status?.lastHandshake.map { max(0, Int(now - $0)) },
                receivedBytes: status?.receivedBytes ?? 0, sentBytes: status?.sentBytes ?? 0, uplink: nil)
            report.links = content.link?.uplinks.first { $0.ordinal == peer.ordinal }.flatMap { links?.report(at: $0.address) }
            return report
        }
        // Those whose session looks old too: the host's clock may be wrong.
        let seen = reports.indices.filter { reports[$0].handshakeAge != nil || reports[$0].links != nil }
        var unknown: [Int: [IPv4Address]] = [:]
        for index in seen {
            let ways = content.addresses(of: peers[index])
            switch word?.saying(of: peers[index].ordinal, at: ways) {
            case .report(let report): reports[index].uplink = report
            case .silence: break
            case nil: unknown[index] = ways
            }
        }
        let answers = unknown.isEmpty ? [:] : host.askUplinks(unknown.sorted { $0.key < $1.key }.flatMap(\.value))
        for (index, ways) in unknown { reports[index].uplink = ways.lazy.compactMap { answers[$0] }.first }
        return reports
    }

    /// Lets an uplink in again whose session is over and whose clock may have been ahead. Its next handshake is then its first, so this
    /// happens once.
    func forgetLost(
        _ reports: [PeerReport], _ content: RelayContent, _ device: WireGuardDeviceStatus?, _ word: UplinkWord?
    ) throws(AgentError) {
        guard content.hasWireGuard else { return }
        let lost = zip(content.wireGuard.peers, reports).filter { peer, report in
            // By links it may answer all the while.
            let isHeard = word?.isHeard(at: peer.address) ?? (report.uplink != nil && report.links == nil)
            return (report.handshakeAge ?? 0) > Self.sessionSeconds && !isHeard
        }
        let keys = Set(lost.map(\.0.publicKey))
        let peers = device?.peers.filter { keys.contains($0.publicKey) } ?? []
        if !peers.isEmpty { try host.tunnel.forget(peers) }
    }
}

extension RelayContent {
    /// Whether WireGuard carries anything.
    var hasWireGuard: Bool { link?.hasWireGuard ?? true }

    /// Where an uplink is reached, by all ways.
    fileprivate func addresses(of peer: RelayPeer) -> [IPv4Address] {
        (hasWireGuard ? [peer.address] : [])
            + (link?.uplinks.filter { $0.ordinal == peer.ordinal }.map(\.address) ?? [])
    }
}

extension WireGuardDeviceStatus {
    /// Those that spoke, or were dialed, sorted.
    var seenUplinks: [SeenUplink] {
        let seen = peers.compactMap { peer in peer.endpoint.map { SeenUplink(publicKey: peer.publicKey, endpoint: $0) } }
        return seen.sorted { $0.publicKey.description < $1.publicKey.description }
    }
}

/// Reads uplinks' `/status`; what an uplink says is believed no further than its type.
func askUplinks(_ addresses: [IPv4Address]) -> [IPv4Address: UplinkReport] {
    // Half a second is several round trips around the world; a report of 10,000 bindings takes about 1 MB.
    let results = fetch(
        "/status", from: addresses.map { .address($0, .uplinkReadiness) }, milliseconds: 500, limit: JSONBounds.ofUplink.bytes)
    var reports: [IPv4Address: UplinkReport] = [:]
    for (address, result) in zip(addresses, results) {
        guard case .success(let reply) = result, reply.status == 200 else { continue }
        if let report = try? DocumentJSON.decode(UplinkReport.self, from: reply.body, within: .ofUplink) {
            reports[address] = report
        }
    }
    return reports
}
