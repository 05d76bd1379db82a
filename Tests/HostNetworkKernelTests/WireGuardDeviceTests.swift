import Glibc
import NetlinkMessages
import NetworkTypes
import Sodium
import TestNetwork
import Testing
import WireGuardNetlink

@testable import HostNetwork

@Suite struct WireGuardDeviceTests {
    private static let program = "/usr/bin/wireguard-go"

    /// One end of a tunnel. wireguard-go's sockets lie in the file system, so each end has its own interface name.
    private struct End: Sendable {
        let namespace: TestNamespace
        let name: InterfaceName
        let key: WireGuardPrivateKey
        let address: String
        let program: String

        init(_ letter: String, address: String, program: String = WireGuardDeviceTests.program) throws {
            self.program = program
            namespace = try TestNamespace("kernel")
            name = try InterfaceName(parsing: "kw\(letter)\(getpid())")
            key = try .generate()
            self.address = address
        }

        func open() throws -> WireGuardDevice {
            try WireGuardDevice.open(
                name, preferring: .userspace,
                startUserspace: { try WireGuardGo.start(WireGuardGo.Program(program), interface: $0) })
        }

        func ensure() throws -> [String] {
            try namespace.inside {
                try open().ensureInterface(addresses: [try IPPrefix(parsing: "\(address)/24")], mtu: 1380, routes: [])
                    .map(\.description)
            }
        }

        func configure(port: UInt16, _ peers: [WireGuardPeerConfiguration]) throws -> [String] {
            try namespace.inside {
                try open().configure(
                    WireGuardDeviceConfiguration(privateKey: key, listenPort: try Port(port), peers: peers)
                ).map(\.description)
            }
        }

        func status() throws -> WireGuardDeviceStatus { try namespace.inside { try open().status() } }
        func remove() throws -> [String] { try namespace.inside { try open().remove().map(\.description) } }

        func peer(dialedAt endpoint: String? = nil) throws -> WireGuardPeerConfiguration {
            WireGuardPeerConfiguration(
                publicKey: try key.publicKey(),
                endpoint: try endpoint.map { WireGuardEndpoint(address: try IPAddress(parsing: $0), port: try Port(51821)) },
                persistentKeepalive: endpoint == nil ? 0 : 25, allowedIPs: [try IPPrefix(parsing: "\(address)/32")])
        }
    }

    @Test func twoEndsReachEachOther() throws {
        // One that we ship, and the host's.
        let relay = try End("a", address: "10.200.0.1", program: shippedWireGuardGo())
        let uplink = try End("b", address: "10.200.0.2")
        defer { for end in [relay, uplink] { _ = try? end.remove() } }
        try relay.namespace.connect(to: uplink.namespace, interfaces: ("v0", "v0"), addresses: ("10.1.0.1/24", "10.1.0.2/24"))

        #expect(
            try relay.ensure() == [
                "\(relay.name): created (wireguard-go)", "\(relay.name): MTU 1380 (was 1420)",
                "\(relay.name): queue of 2048 packets (was 500)",
                "\(relay.name): address 10.200.0.1/24 added", "\(relay.name): up",
            ])
        _ = try uplink.ensure()
        let relayPeers = [try uplink.peer()]
        let changes = try relay.configure(port: 51821, relayPeers)
        #expect(changes.contains("\(relay.name): peer \(try uplink.key.publicKey()) added (10.200.0.2/32)"))
        _ = try uplink.configure(port: 51822, [try relay.peer(dialedAt: "10.1.0.1")])
        try uplink.namespace.execute("ping", "-c", "1", "-W", "5", "10.200.0.1")

        let status = try #require(try relay.status().peers.first)
        #expect(status.endpoint?.description == "10.1.0.2:51822")
        #expect(status.receivedBytes > 0 && status.sentBytes > 0)
        let handshake = try #require(status.lastHandshake)
        #expect(abs(handshake - Int64(time(nil))) < 30)

        // Both ends have room for a burst, on their sockets (IPv4 and IPv6) as in their queue.
        for (end, port) in [(relay, 51821), (uplink, 51822)] {
            let sockets = try end.namespace.execute("ss", "-Hlunm", "sport = :\(port)")
            #expect(sockets.split(separator: "rb\(2 * ReceiveBuffer.wanted),").count == 3, "\(sockets)")
        }

        // The second time there is nothing to do.
        #expect(try relay.ensure().isEmpty)
        #expect(try relay.configure(port: 51821, relayPeers).isEmpty)
        #expect(try uplink.configure(port: 51822, [try relay.peer(dialedAt: "10.1.0.1")]).isEmpty)

        // Another peer comes and goes; the session stays the one it was.
        let other = WireGuardPeerConfiguration(
            publicKey: try WireGuardPrivateKey.generate().publicKey(), presharedKey: try .random(count: 32),
            allowedIPs: [try IPPrefix(parsing: "10.200.0.3/32")])
        #expect(try relay.configure(port: 51821, relayPeers + [other]).count == 1)
        #expect(try relay.configure(port: 51821, relayPeers + [other]).isEmpty)
        #expect(try relay.configure(port: 51821, relayPeers) == ["\(relay.name): peer \(other.publicKey) removed"])
        try uplink.namespace.execute("ping", "-c", "1", "-W", "2", "10.200.0.1")
        #expect(try relay.status().peers.first?.lastHandshake == handshake)

        #expect(try relay.remove() == ["\(relay.name): removed"])
        #expect(try relay.remove().isEmpty)
        #expect(access("/var/run/wireguard/\(relay.name).sock", F_OK) != 0)
        #expect(throws: HostNetworkError.self) { try relay.status() }
        // And it can be made again at once.
        #expect(try relay.ensure().first == "\(relay.name): created (wireguard-go)")
    }

    @Test func refusesAnInterfaceThatIsNotWireGuard() throws {
        let (a, b) = (try TestNamespace("kernel"), try TestNamespace("kernel"))
        try a.connect(to: b, interfaces: ("v0", "v0"), addresses: ("10.1.0.1/24", "10.1.0.2/24"))
        let error = try a.inside {
            #expect(throws: HostNetworkError.self) { _ = try WireGuardDevice.open(try InterfaceName(parsing: "v0")) }
        }
        #expect("\(try #require(error))".contains("an interface v0 of kind veth is there already and is not ours"))
    }

    /// Inside ours, around ours with an address in it, and around ours.
    @Test(arguments: ["10.200.0.77/25", "10.200.0.1/16", "10.200.9.1/16"])
    func refusesANetworkThatAnotherInterfaceHas(other: String) throws {
        let (a, b) = (try TestNamespace("kernel"), try TestNamespace("kernel"))
        try a.connect(to: b, interfaces: ("v0", "v0"), addresses: (other, "10.200.0.78/25"))
        let error = try a.inside {
            let device = try WireGuardDevice.open(try InterfaceName(parsing: "kwx"), preferring: .userspace)
            return #expect(throws: HostNetworkError.self) {
                try device.ensureInterface(addresses: [try IPPrefix(parsing: "10.200.0.1/24")], mtu: 1420)
            }
        }
        #expect("\(try #require(error))".contains("overlaps \(other) of interface v0"))
        #expect("\(try #require(error))".contains("set spec.tunnel.network"))
    }

    /// An update must not take the tunnel of those who live with a wider network, nor may a bridge that comes later.
    @Test func aWiderNetworkThatComesLaterTakesNothing() throws {
        let relay = try End("w", address: "10.200.0.1")
        #expect(try !relay.ensure().isEmpty)
        let other = try TestNamespace("kernel")
        try relay.namespace.connect(to: other, interfaces: ("v0", "v0"), addresses: ("10.200.9.1/16", "10.200.9.2/16"))
        #expect(try relay.ensure() == [])
        _ = try relay.remove()
        #expect(throws: HostNetworkError.self) { try relay.ensure() }
    }

    @Test func saysWhyThereIsNoDevice() throws {
        let namespace = try TestNamespace("kernel")
        let (missing, failed) = try namespace.inside {
            let name = try InterfaceName(parsing: "kwy")
            let addresses = [try IPPrefix(parsing: "10.200.0.1/24")]
            let bare = try WireGuardDevice.open(name, preferring: .userspace)
            let broken = try WireGuardDevice.open(
                name, preferring: .userspace,
                startUserspace: { try WireGuardGo.start(WireGuardGo.Program("/bin/false"), interface: $0) })
            return (
                #expect(throws: HostNetworkError.self) { try bare.ensureInterface(addresses: addresses, mtu: 1420) },
                #expect(throws: HostNetworkError.self) { try broken.ensureInterface(addresses: addresses, mtu: 1420) }
            )
        }
        #expect("\(try #require(missing))".contains("this kernel has no WireGuard and there is no wireguard-go"))
        #expect("\(try #require(failed))".contains("/bin/false failed"))
    }
}
