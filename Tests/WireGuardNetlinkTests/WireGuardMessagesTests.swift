import NetlinkMessages
import NetworkTypes
import Sodium
import Testing
import WireGuardNetlink

@Suite struct WireGuardMessagesTests {
    private let family = GenericFamily(name: "wireguard", number: 30)
    private let name: InterfaceName
    private let peerKey: WireGuardPublicKey

    init() throws {
        name = try InterfaceName(parsing: "wg0")
        peerKey = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 0xBB, count: 32)))
    }

    @Test func asksForADevice() throws {
        #expect(
            try WireGuardMessages.get(name, family: family).encoded(sequence: 1) == [
                28, 0, 0, 0, 30, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                0, 1, 0, 0,  // WG_CMD_GET_DEVICE, version 1
                8, 0, 2, 0, 0x77, 0x67, 0x30, 0,  // WGDEVICE_A_IFNAME
            ])
    }

    /// By linux/wireguard.h: WGDEVICE_A_IFNAME 2, _PRIVATE_KEY 3, _LISTEN_PORT 6, _FWMARK 7, _PEERS 8; WGPEER_A_PUBLIC_KEY 1,
    /// _PRESHARED_KEY 2, _FLAGS 3, _ENDPOINT 4, _PERSISTENT_KEEPALIVE_INTERVAL 5, _ALLOWEDIPS 9; WGALLOWEDIP_A_FAMILY 1,
    /// _IPADDR 2, _CIDR_MASK 3.
    @Test func setsANewDevice() throws {
        let privateKey = try WireGuardPrivateKey.generate()
        let secret = try SecretBytes(copying: [UInt8](repeating: 0xCC, count: 32))
        let peer = WireGuardPeerConfiguration(
            publicKey: peerKey, presharedKey: secret,
            endpoint: WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.1"), port: try Port(51821)),
            persistentKeepalive: 25, allowedIPs: [try IPPrefix(parsing: "10.200.0.1/32"), try IPPrefix(parsing: "fd00::/64")])
        let configuration = WireGuardDeviceConfiguration(
            privateKey: privateKey, listenPort: try Port(51821), firewallMark: 5, peers: [peer])
        let update = try WireGuardDeviceUpdate(from: WireGuardDeviceStatus(), to: configuration)
        let messages = WireGuardMessages.set(update, on: name, family: family)
        #expect(messages.count == 1)
        let bytes = try messages[0].encoded(sequence: 1)
        let key = privateKey.secret.withUnsafeBytes { Array($0) }
        let expected: [[UInt8]] = [
            [0x0C, 1, 0, 0, 30, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0],  // 268 bytes
            [1, 1, 0, 0],  // WG_CMD_SET_DEVICE, version 1
            [8, 0, 2, 0, 0x77, 0x67, 0x30, 0],
            [36, 0, 3, 0], key,
            [6, 0, 6, 0, 0x6D, 0xCA, 0, 0],  // 51821 in host order
            [8, 0, 7, 0, 5, 0, 0, 0],
            [188, 0, 8, 0x80, 184, 0, 0, 0x80],  // the peers, the first one
            [36, 0, 1, 0], [UInt8](repeating: 0xBB, count: 32),
            [8, 0, 3, 0, 2, 0, 0, 0],  // WGPEER_F_REPLACE_ALLOWEDIPS
            [36, 0, 2, 0], [UInt8](repeating: 0xCC, count: 32),
            [20, 0, 4, 0, 2, 0, 0xCA, 0x6D, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0],  // sockaddr_in
            [6, 0, 5, 0, 25, 0, 0, 0],
            [72, 0, 9, 0x80],  // allowed IPs: 10.200.0.1/32, then fd00::/64
            [28, 0, 0, 0x80, 6, 0, 1, 0, 2, 0, 0, 0, 8, 0, 2, 0, 10, 200, 0, 1, 5, 0, 3, 0, 32, 0, 0, 0],
            [40, 0, 0, 0x80, 6, 0, 1, 0, 10, 0, 0, 0, 20, 0, 2, 0, 0xFD], [UInt8](repeating: 0, count: 15),
            [5, 0, 3, 0, 64, 0, 0, 0],
        ]
        #expect(bytes == Array(expected.joined()))
    }

    @Test func changesOnlyWhatDiffers() throws {
        let status = WireGuardPeerStatus(publicKey: peerKey, allowedIPs: [try IPPrefix(parsing: "10.200.0.2/32")])
        let privateKey = try WireGuardPrivateKey.generate()
        let device = WireGuardDeviceStatus(publicKey: try privateKey.publicKey(), listenPort: 51821, peers: [status])
        let configuration = WireGuardDeviceConfiguration(
            privateKey: privateKey, listenPort: try Port(51821),
            peers: [
                WireGuardPeerConfiguration(
                    publicKey: peerKey, persistentKeepalive: 25, allowedIPs: [try IPPrefix(parsing: "10.200.0.2/32")])
            ])
        let update = try WireGuardDeviceUpdate(from: device, to: configuration)
        let expected: [[UInt8]] = [
            [88, 0, 0, 0, 30, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 8, 0, 2, 0, 0x77, 0x67, 0x30, 0],
            [60, 0, 8, 0x80, 56, 0, 0, 0x80, 36, 0, 1, 0], [UInt8](repeating: 0xBB, count: 32),
            [8, 0, 3, 0, 4, 0, 0, 0],  // WGPEER_F_UPDATE_ONLY
            [6, 0, 5, 0, 25, 0, 0, 0],
        ]
        let messages = WireGuardMessages.set(update, on: name, family: family)
        #expect(try messages.map { try $0.encoded(sequence: 1) } == [Array(expected.joined())])
    }

    @Test func spreadsManyPeersAndAllowedIPsOverMessagesOfAPage() throws {
        let many = try (0..<500).map { try IPPrefix(parsing: "10.\($0 / 256).\($0 % 256).0/24") }
        let peers = try (1...200).map { number in
            let key = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: UInt8(number), count: 32)))
            return WireGuardPeerConfiguration(
                publicKey: key, allowedIPs: number == 100 ? many : [try IPPrefix(parsing: "10.200.0.\(number)/32")])
        }
        let configuration = WireGuardDeviceConfiguration(privateKey: try .generate(), listenPort: try Port(1), peers: peers)
        let update = try WireGuardDeviceUpdate(from: WireGuardDeviceStatus(), to: configuration)
        let messages = WireGuardMessages.set(update, on: name, family: family)
        #expect(messages.count > 3)
        #expect(messages.filter(\.attributes.holdsSecret).count == 1)
        for message in messages { #expect(try message.encoded(sequence: 1).count <= 4096 + 100) }
        // What the kernel would have at the end: the same reader that merges its dumps.
        let replies = try messages.flatMap { try NetlinkReply.parse(try $0.encoded(sequence: 1)[...]) }
        let device = try WireGuardDeviceStatus(replies)
        #expect(device.peers.map(\.publicKey) == peers.map(\.publicKey))
        #expect(device.peers.map(\.allowedIPs) == peers.map(\.allowedIPs))
        #expect(device.listenPort == 1)
    }
}
