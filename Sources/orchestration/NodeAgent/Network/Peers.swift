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
    func report(_ wireGuard: RelayWireGuard, _ device: WireGuardDeviceStatus?, _ word: UplinkWord?) -> [PeerReport] {
        guard let device else { return [] }
        let now = host.now()
        var reports = wireGuard.peers.map { peer -> PeerReport in
            let status = device.peers.first { $0.publicKey == peer.publicKey }
            return PeerReport(
                ordinal: peer.ordinal, publicKey: peer.publicKey,
                handshakeAge: status?.lastHandshake.map { max(0, Int(now - $0)) },
                receivedBytes: status?.receivedBytes ?? 0, sentBytes: status?.sentBytes ?? 0, uplink: nil)
        }
        // Those whose session looks old too: the host's clock may be wrong.
        let seen = zip(wireGuard.peers, reports).filter { $1.handshakeAge != nil }.map(\.0)
        let told = Dictionary(
            seen.compactMap { peer in word?.saying(of: peer).map { (peer.address, $0) } }, uniquingKeysWith: { first, _ in first }
        )
        let unknown = seen.map(\.address).filter { told[$0] == nil }
        let answers = unknown.isEmpty ? [:] : host.askUplinks(unknown)
        for (index, peer) in wireGuard.peers.enumerated() {
            switch told[peer.address] {
            case .report(let report): reports[index].uplink = report
            case .silence: break
            case nil: reports[index].uplink = answers[peer.address]
            }
        }
        return reports
    }

    /// Lets an uplink in again whose session is over and whose clock may have been ahead. Its next handshake is then its first, so this
    /// happens once.
    func forgetLost(_ reports: [PeerReport], _ device: WireGuardDeviceStatus?) throws(AgentError) {
        let lost = Set(reports.filter { ($0.handshakeAge ?? 0) > Self.sessionSeconds && $0.uplink == nil }.map(\.publicKey))
        let peers = device?.peers.filter { lost.contains($0.publicKey) } ?? []
        if !peers.isEmpty { try host.tunnel.forget(peers) }
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
    let results = fetch("/status", from: addresses.map { .address($0, .uplinkReadiness) }, milliseconds: 500, limit: JSONBounds.ofUplink.bytes)
    var reports: [IPv4Address: UplinkReport] = [:]
    for (address, result) in zip(addresses, results) {
        guard case .success(let reply) = result, reply.status == 200 else { continue }
        if let report = try? DocumentJSON.decode(UplinkReport.self, from: reply.body, within: .ofUplink) { reports[address] = report }
    }
    return reports
}
