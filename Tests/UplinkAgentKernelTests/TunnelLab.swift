import Foundation
import NetworkTypes
import NodeDocument
import Sodium
import TestNetwork
import TestPrograms

/// A relay set up by hand with wg(8), an uplink under test, and two backends behind it, each in a namespace of its own.
final class TunnelLab: Sendable {
    let relay: TestNamespace
    let uplink: TestNamespace
    let backend: TestNamespace
    let folder: String
    private let relayKey: WireGuardPublicKey
    private let uplinkKey: WireGuardPublicKey
    /// Of the uplink.
    let privateKey: WireGuardPrivateKey

    static let firstTarget = "10.96.0.1"
    static let secondTarget = "10.96.0.2"
    static let uplinkAddress = "10.200.0.2"

    private let isConfigMap: Bool

    /// - Parameter isConfigMap: the document changes as a mounted ConfigMap does.
    init(isConfigMap: Bool = false) throws {
        self.isConfigMap = isConfigMap
        relay = try TestNamespace("nft")
        uplink = try TestNamespace("nft")
        backend = try TestNamespace("nft")
        folder = try run("mktemp", "-d").trimmingCharacters(in: .newlines)
        let keys = [try WireGuardPrivateKey.generate(), try WireGuardPrivateKey.generate()]
        relayKey = try keys[0].publicKey()
        uplinkKey = try keys[1].publicKey()
        privateKey = keys[1]
        for (key, name) in zip(keys, ["relay.key", "priv-0"]) {
            let created = FileManager.default.createFile(
                atPath: "\(folder)/\(name)", contents: Data(key.base64File()), attributes: [.posixPermissions: 0o600])
            guard created else { throw LabFailure(description: "cannot write \(name)") }
        }
        try relay.connect(to: uplink, interfaces: ("wan", "wan"), addresses: ("198.18.0.1/24", "198.18.0.2/24"))
        try backend.connect(to: uplink, interfaces: ("lan", "lan"), addresses: ("\(Self.firstTarget)/16", "10.96.0.254/16"))
        try backend.execute("ip", "address", "add", "\(Self.secondTarget)/16", "dev", "lan")
        // Answers would find their way, were anything let through that should not be.
        try backend.execute("ip", "route", "add", "default", "via", "10.96.0.254")
        try uplink.execute("sysctl", "-qw", "net.ipv4.ip_forward=0")
        try relay.execute("sh", "-c", Self.privateSockets + "wireguard-go wg-relay >/dev/null 2>&1 && " + relaySetUp)
    }

    deinit { _ = try? run("rm", "-rf", folder) }

    /// wireguard-go's socket has a fixed place: `ip netns exec` gives a mount namespace, and this an empty folder in it.
    private static let privateSockets =
        "mkdir -p /run/wireguard && mount -t tmpfs tmpfs /run/wireguard && export WG_I_PREFER_BUGGY_USERSPACE_TO_POLISHED_KMOD=1 && "

    /// The relay lets itself send to the whole home network, as a hostile one would.
    private var relaySetUp: String {
        "wg set wg-relay private-key \(folder)/relay.key listen-port 51821 peer \(uplinkKey) "
            + "allowed-ips \(Self.uplinkAddress)/32,10.96.0.0/16 && "
            + "ip address add 10.200.0.1/24 dev wg-relay && ip link set wg-relay mtu 1420 up"
    }

    // MARK: The uplink

    var documentPath: String { "\(folder)/document.json" }

    func forward(_ name: String, _ transport: TransportProtocol, _ port: Int, to target: String, _ targetPort: Int) throws
        -> Forward
    {
        Forward(
            binding: name, protocol: transport, tunnelPort: try Port(port), target: try IPv4Address(parsing: target),
            targetPort: try Port(targetPort))
    }

    @discardableResult
    func write(_ forwards: [Forward], ordinal: Int = 0, host: String = "198.18.0.1", link: UplinkLink? = nil) throws
        -> UplinkDocument
    {
        let content = UplinkContent(
            relay: UplinkRelay(
                publicKey: relayKey, host: try HostAddress(parsing: host), port: try Port(51821),
                address: try IPv4Address(parsing: "10.200.0.1")),
            network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
            replicas: [
                UplinkReplica(ordinal: ordinal, address: try IPv4Address(parsing: Self.uplinkAddress), publicKey: uplinkKey)
            ],
            forwards: forwards, link: link)
        let document = UplinkDocument(
            owner: Owner(installation: "lab", namespace: "default", name: "edge"), hash: try content.digest(), content: content)
        try replaceDocument(DocumentJSON.encode(document))
        return document
    }

    func replaceDocument(_ bytes: [UInt8]) throws {
        guard isConfigMap else { return try Data(bytes).write(to: URL(fileURLWithPath: documentPath), options: .atomic) }
        // As the kubelet does it: a new folder, and the link to it swapped; the file itself is a link that never changes.
        let version = "..\(UInt64.random(in: 0...(.max)))"
        try run("mkdir", "\(folder)/\(version)")
        try Data(bytes).write(to: URL(fileURLWithPath: "\(folder)/\(version)/document.json"))
        try run("ln", "-sfn", version, "\(folder)/..data_tmp")
        try run("mv", "-T", "\(folder)/..data_tmp", "\(folder)/..data")
        if access(documentPath, F_OK) != 0 { try run("ln", "-s", "..data/document.json", documentPath) }
    }

    static let program = URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent().appendingPathComponent(
        "uplink"
    )
    .path

    /// What a liveness probe hears.
    func health(_ arguments: String...) throws -> String { try uplink.execute([Self.program, "healthz"] + arguments) }

    func startUplink(_ arguments: String...) throws -> RunningProgram {
        let program = Self.program
        let words =
            ["ip", "netns", "exec", uplink.name, "sh", "-c", Self.privateSockets + "exec \"$0\" \"$@\"", program]
            + ["--config", documentPath, "--keys", folder, "--ordinal", "0"] + arguments
        return try RunningProgram(words, environment: ["LOG_FORMAT": "text", "LOG_LEVEL": "warn"])
    }

    /// As Envoy asks, through the tunnel.
    func status() throws -> UplinkReport {
        let text = try relay.execute("curl", "-sS", "-m", "2", "http://\(Self.uplinkAddress):40500/status")
        return try DocumentJSON.decode(UplinkReport.self, from: Array(text.utf8))
    }

    func ready() throws -> String {
        try relay.execute("curl", "-sS", "-m", "2", "-w", "%{http_code}", "http://\(Self.uplinkAddress):40500/ready")
    }

    // MARK: Traffic

    /// A TCP server that says `name` and the address it sees, then echoes; and a UDP server that answers with `name`.
    func serve(_ name: String, at address: String) throws {
        try backend.start(
            "socat", "TCP-LISTEN:8080,fork,reuseaddr,bind=\(address)", "SYSTEM:echo \(name) $SOCAT_PEERADDR; exec cat")
        // Without `read` it may have ended before socat hands it the datagram, and socat then ends without its answer.
        try backend.start("socat", "UDP4-RECVFROM:5353,fork,bind=\(address)", "SYSTEM:read line; echo \(name)")
    }

    func tcp(_ port: Int, _ address: String = TunnelLab.uplinkAddress) throws -> String {
        try relay.execute("sh", "-c", "echo hello | socat -t1 -T2 - TCP:\(address):\(port),connect-timeout=1")
    }

    /// From a fixed port of the relay's, so that conntrack sees one flow.
    func udp(_ port: Int) throws -> String {
        try relay.execute("sh", "-c", "echo hello | socat -t1 - UDP:\(Self.uplinkAddress):\(port),sourceport=45000")
    }
}

/// Asks again until `body` holds.
func eventually(within limit: Duration = .seconds(10), _ body: () throws -> Bool) throws {
    let deadline = ContinuousClock.now + limit
    while true {
        do { if try body() { return } } catch  where ContinuousClock.now < deadline {}
        guard ContinuousClock.now < deadline else { throw LabFailure(description: "not within \(limit)") }
        usleep(50_000)
    }
}

struct LabFailure: Error, CustomStringConvertible {
    let description: String
}
