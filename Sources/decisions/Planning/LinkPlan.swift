import EdgeAPI
import NetworkTypes
import NodeDocument
import Sodium

extension PlanInput {
    /// The edge's half of the links; nil where WireGuard alone carries.
    /// - Parameter replicas: those with a key.
    func relayLink(_ replicas: [UplinkReplica]) -> RelayLink? {
        let tunnel = node.spec.tunnel
        guard tunnel.hasLinks else { return nil }
        let uplinks = replicas.compactMap { replica in
            linkPins[replica.ordinal].map {
                LinkedUplink(
                    ordinal: replica.ordinal, address: LinkedUplink.address(ofOrdinal: replica.ordinal), pin: $0)
            }
        }
        return RelayLink(
            carriers: tunnel.carriers, listenPort: tunnel.link.listenPort, hostname: linkHostname, path: linkPath,
            uplinks: uplinks,
            program: linkProgram)
    }

    /// The uplinks' half; nil where WireGuard alone carries.
    func uplinkLink(_ pin: SHA256Digest) -> UplinkLink? {
        let tunnel = node.spec.tunnel
        guard tunnel.hasLinks else { return nil }
        return UplinkLink(
            carriers: tunnel.carriers, pin: pin, host: node.spec.address, port: tunnel.link.listenPort, hostname: linkHostname,
            path: linkPath, url: tunnel.link.url, connections: tunnel.link.connections)
    }

    /// A name of its own that no binding has by chance; it is never looked up.
    var linkHostname: String { node.spec.tunnel.link.hostname ?? "\(token("hostname", 12)).tidegate.internal" }

    private var linkPath: String { node.spec.tunnel.link.path ?? "/\(token("path", 32))" }

    /// Hexadecimal digits that only who may read the EdgeNode can tell. No key is in them: another key shall not move the links' door.
    private func token(_ purpose: String, _ count: Int) -> String {
        let secret = node.metadata.uid.isEmpty ? linkSecret : node.metadata.uid
        let digest = SHA256.digest(of: "tidegate link \(purpose) \(secret)")
        return String(digest.description.prefix(count))
    }
}
