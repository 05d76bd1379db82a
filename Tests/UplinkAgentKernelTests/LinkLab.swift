import Foundation
import LinkRelay
import NIOCore
import NetworkTypes
import NodeDocument
import Sodium
import TestLinks
import TestNetwork
import TestPrograms

/// An uplink that has links alone, as an ordinary user in a network namespace of its own, and the edge that it dials. Between the two is a
/// unix socket, as the edge's listeners are of this process; at the uplink's end it looks like an edge at 198.18.0.1:443.
final class LinkLab: Sendable {
    static let target = "10.96.0.1"
    static let other = "10.96.0.2"
    static let edge = "198.18.0.1"
    static let password = "a-password-of-the-proxys"

    let rig: LinkRig
    let uplink: TestNamespace
    let folder: String
    private let key: WireGuardPrivateKey
    private let ports: (tcp: [UInt16], udp: [UInt16])

    /// - Parameter door: where the uplink finds the edge: its own address, or one that only a proxy reaches.
    init(tcp: [UInt16], udp: [UInt16] = [], door: String = "\(LinkLab.edge):443") async throws {
        key = try .generate()
        ports = (tcp, udp)
        rig = try await LinkRig(tcp: tcp + [40500], udp: udp, uplinkKey: LinkPrivateKey(of: key))
        folder = try run("mktemp", "-d").trimmingCharacters(in: .newlines)
        _ = try await rig.relay.listen(at: SocketAddress(unixDomainSocketPath: "\(folder)/links"))
        uplink = try TestNamespace("lnk")
        for address in [Self.target, Self.other, Self.edge] {
            try uplink.execute("ip", "address", "add", "\(address)/32", "dev", "lo")
        }
        let place = door.split(separator: ":")
        try uplink.start(
            "socat", "TCP-LISTEN:\(place[1]),bind=\(place[0]),fork,reuseaddr,backlog=64", "UNIX-CONNECT:\(folder)/links")
        try Data(key.base64File()).write(to: URL(fileURLWithPath: "\(folder)/priv-0"))
        try run("chmod", "0755", folder)
        // As the pod's Secret has it: the group's.
        try run("chown", "nobody:65532", "\(folder)/priv-0")
        try run("chmod", "0440", "\(folder)/priv-0")
    }

    deinit { _ = try? run("rm", "-rf", folder) }

    func forward(
        _ name: String, _ transport: TransportProtocol, _ port: UInt16, to targets: [String], _ targetPort: Int
    ) throws -> Forward {
        let endpoints = try targets.map { Endpoint(address: try IPv4Address(parsing: $0), port: try Port(targetPort)) }
        return Forward(
            binding: name, protocol: transport, tunnelPort: try Port(port), target: endpoints[0].address,
            targetPort: endpoints[0].port, endpoints: endpoints.count > 1 ? endpoints : nil)
    }

    @discardableResult
    func write(_ forwards: [Forward], connections: Int = 2, pin: SHA256Digest? = nil) throws -> UplinkDocument {
        let publicKey = try key.publicKey()
        let content = UplinkContent(
            relay: UplinkRelay(
                publicKey: publicKey, host: try HostAddress(parsing: Self.edge), port: try Port(51821),
                address: try IPv4Address(parsing: "10.200.0.1")),
            network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
            replicas: [UplinkReplica(ordinal: 0, address: try IPv4Address(parsing: "10.200.0.2"), publicKey: publicKey)],
            forwards: forwards,
            link: UplinkLink(
                carriers: [.tls], pin: pin ?? rig.relayKey.pin, host: try HostAddress(parsing: Self.edge), port: try Port(443),
                hostname: "a.invalid", path: LinkRig.path, url: nil, connections: connections))
        let document = UplinkDocument(
            owner: Owner(installation: "lab", namespace: "default", name: "edge"), hash: try content.digest(), content: content)
        try Data(DocumentJSON.encode(document)).write(to: URL(fileURLWithPath: "\(folder)/document.json"), options: .atomic)
        try run("chmod", "0444", "\(folder)/document.json")
        return document
    }

    /// As nobody, without any capability, and no way to get one; with no interface, table or setting but those that it finds.
    func startUplink(_ environment: [String: String] = [:]) throws -> RunningProgram {
        let words = ["ip", "netns", "exec", uplink.name] + Self.asNobody + [TunnelLab.program]
        return try RunningProgram(
            words + ["--config", "\(folder)/document.json", "--keys", folder, "--ordinal", "0", "--drain", "1s"],
            environment: ["LOG_FORMAT": "text", "LOG_LEVEL": "warn"].merging(environment) { $1 })
    }

    private static let asNobody = [
        "setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all",
        "--ambient-caps=-all", "--no-new-privs",
    ]

    func health() throws -> String { try uplink.execute(Self.asNobody + [TunnelLab.program, "healthz"]) }

    /// As the prober asks, by a link.
    func ask(_ path: String) throws -> String {
        try run("curl", "-sS", "-m", "2", "-w", "%{http_code}", "http://\(rig.address):40500\(path)")
    }

    func status() throws -> UplinkReport {
        let text = try run("curl", "-sS", "-m", "2", "http://\(rig.address):40500/status")
        return try DocumentJSON.decode(UplinkReport.self, from: Array(text.utf8))
    }

    /// What the namespace has that an uplink with a tunnel would change.
    func traces() throws -> String {
        try uplink.execute("nft", "list", "ruleset") + uplink.execute("ip", "-br", "link")
            + uplink.execute("sysctl", "net.ipv4.ip_forward", "net.ipv4.conf.lo.forwarding")
    }
}
