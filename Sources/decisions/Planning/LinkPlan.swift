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
                    ordinal: replica.ordinal, address: LinkedUplink.address(ofOrdinal: replica.ordinal), pin: $0,
                    sshKey: tunnel.takesSSH ? sshKeys[replica.ordinal] : nil)
            }
        }
        return RelayLink(
            carriers: tunnel.carriers, listenPort: tunnel.link.listenPort, hostname: linkHostname, path: linkPath,
            uplinks: uplinks,
            program: linkProgram, outerTLS: outerTLS)
    }

    /// Without material where that cannot be read: the host keeps what it has.
    private var outerTLS: RelayTLS? {
        let tunnel = node.spec.tunnel
        guard tunnel.link.secretRef != nil, tunnel.takesLinkPort else { return nil }
        var tls = RelayTLS(mode: tunnel.link.clientCASecretRef == nil ? .offload : .mutual)
        if case .usable(let material) = linkCertificate { tls.material = material.fitted(to: tls.mode) }
        return tls
    }

    /// Why the links' certificate is not the one that the EdgeNode names.
    var linkProblem: String? {
        guard let outerTLS, outerTLS.material == nil else { return nil }
        let reason = if case .unusable(let reason) = linkCertificate { reason } else { "it was not read" }
        return "the certificate of spec.tunnel.link: \(reason). Until then the one that was applied before stays in force"
    }

    /// The uplinks' half; nil where WireGuard alone carries.
    /// - Parameter sshHostKey: the VPS's; without it no way leads by its sshd.
    func uplinkLink(_ pin: SHA256Digest, sshHostKey: String?) -> UplinkLink? {
        let tunnel = node.spec.tunnel
        let carriers = tunnel.carriers.filter { $0 != .ssh || sshHostKey != nil }
        guard carriers.contains(where: \.isLink) else { return nil }
        return UplinkLink(
            carriers: carriers, pin: pin, host: node.spec.address, port: tunnel.link.listenPort, hostname: linkHostname,
            path: linkPath, url: tunnel.link.url, connections: tunnel.link.connections,
            ssh: tunnel.takesSSH ? sshHostKey.map { SSHWay(port: node.spec.ssh.port, hostKey: $0) } : nil,
            outerTLS: outerTLS.map { _ in UplinkLink.OuterTLS(authority: linkAuthority) })
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
