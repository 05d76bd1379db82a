import LinkCarriers
import NetworkTypes
import NodeDocument
import Sodium

/// The links that an uplink shall have. While it is the same the links stay, whatever else changes.
struct LinkDemand: Equatable, Sendable {
    /// So many the edge takes of one uplink, some for those that make place for others.
    static let mostConnections = 16

    let key: LinkPrivateKey
    /// Of the edge's key.
    let pin: SHA256Digest
    /// In order of preference.
    let ways: [Way]
    let connections: Int

    struct Way: Equatable, Sendable {
        let kind: TunnelCarrier
        let carrier: LinkCarrier
    }

    /// - Throws: `documentInvalid`, or `keyInvalid`.
    init(_ link: UplinkLink, key: WireGuardPrivateKey) throws(UplinkError) {
        let sshKey: LinkPrivateKey
        do throws(SodiumError) {
            self.key = try LinkPrivateKey(of: key)
            sshKey = try LinkPrivateKey(of: key, for: .ssh)
        } catch {
            throw .keyInvalid(path: "", reason: "\(error)")
        }
        pin = link.pin
        guard (1...Self.mostConnections).contains(link.connections) else {
            throw .documentInvalid(
                path: "", reason: "content.link.connections: want 1 to \(Self.mostConnections), not \(link.connections)")
        }
        connections = link.connections
        var ways: [Way] = []
        for kind in link.carriers where kind.isLink && !ways.contains(where: { $0.kind == kind }) {
            ways.append(Way(kind: kind, carrier: try Self.carrier(kind, of: link, sshKey)))
        }
        guard !ways.isEmpty else { throw .documentInvalid(path: "", reason: "content.link.carriers: none carries a link") }
        self.ways = ways
    }

    private static func carrier(
        _ kind: TunnelCarrier, of link: UplinkLink, _ sshKey: LinkPrivateKey
    ) throws(UplinkError) -> LinkCarrier {
        if kind == .tls {
            return .tls(
                host: link.host, port: link.port, serverName: link.hostname,
                outer: try outer(of: link, UplinkLink.OuterTLS.applicationProtocol))
        }
        if kind == .ssh {
            guard let way = link.ssh,
                let edge = SSHEdge(
                    host: link.host, port: way.port, user: way.user, socket: way.socket, hostKey: way.hostKey, key: sshKey)
            else {
                throw .documentInvalid(path: "", reason: "content.link.ssh: want a port, a user, a socket's path and a host key")
            }
            return .ssh(edge)
        }
        if let url = link.url {
            guard let edge = WebSocketEdge(url: url, path: link.path) else {
                throw .documentInvalid(
                    path: "", reason: "content.link.url: want ws://HOST or wss://HOST, with :PORT and /PATH or without")
            }
            return .webSocket(edge)
        }
        guard let edge = WebSocketEdge(outer: try outer(of: link, "http/1.1"), host: link.host, port: link.port, path: link.path)
        else {
            throw .documentInvalid(path: "", reason: "content.link.path: want a path")
        }
        return .webSocket(edge)
    }

    private static func outer(of link: UplinkLink, _ applicationProtocol: String) throws(UplinkError) -> OuterTLS? {
        guard let outer = link.outerTLS else { return nil }
        guard let name = HostAddress(link.hostname) else {
            throw .documentInvalid(path: "", reason: "content.link.hostname: want a name")
        }
        return OuterTLS(
            serverName: name, applicationProtocol: applicationProtocol, roots: outer.authority.map { Array($0.utf8) })
    }
}
