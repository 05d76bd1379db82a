import NetlinkMessages
import NetworkTypes
import Sodium
import Testing
import WireGuardNetlink

@Suite struct WireGuardDeviceUpdateTests {
    private let privateKey: WireGuardPrivateKey
    private let first: WireGuardPublicKey
    private let second: WireGuardPublicKey
    private let range: IPPrefix
    private let otherRange: IPPrefix

    init() throws {
        privateKey = try .generate()
        first = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 1, count: 32)))
        second = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 2, count: 32)))
        range = try IPPrefix(parsing: "10.200.0.2/32")
        otherRange = try IPPrefix(parsing: "10.200.0.3/32")
    }

    private func device(_ peers: [WireGuardPeerStatus]) throws -> WireGuardDeviceStatus {
        WireGuardDeviceStatus(publicKey: try privateKey.publicKey(), listenPort: 51821, peers: peers)
    }

    private func configuration(_ peers: [WireGuardPeerConfiguration]) throws -> WireGuardDeviceConfiguration {
        WireGuardDeviceConfiguration(privateKey: privateKey, listenPort: try Port(51821), peers: peers)
    }

    @Test func sendsNothingWhenNothingDiffers() throws {
        let endpoint = WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.7"), port: try Port(40000))
        let now = WireGuardPeerStatus(publicKey: first, endpoint: endpoint, lastHandshake: 1, allowedIPs: [range, otherRange])
        // The order of the allowed IPs, and an endpoint that was only learned, are no difference.
        let wanted = WireGuardPeerConfiguration(publicKey: first, allowedIPs: [otherRange, range])
        let update = try WireGuardDeviceUpdate(from: try device([now]), to: try configuration([wanted]))
        #expect(update.isEmpty)
        #expect(update.changes.isEmpty)
        #expect(
            WireGuardMessages.set(
                update, on: try InterfaceName(parsing: "wg0"), family: GenericFamily(name: "wireguard", number: 30)
            ).isEmpty)
    }

    /// For a peer that is new or was not heard since the device was made, and never against what the device has learned.
    @Test func dialsWhereAPeerWasLast() throws {
        let last = WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.7"), port: try Port(40000))
        let learned = WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.8"), port: try Port(40001))
        let wanted = WireGuardPeerConfiguration(publicKey: first, lastEndpoint: last, allowedIPs: [range])
        let unheard = WireGuardPeerStatus(publicKey: first, allowedIPs: [range])
        let heard = WireGuardPeerStatus(publicKey: first, endpoint: learned, allowedIPs: [range])
        func endpoints(_ now: [WireGuardPeerStatus]) throws -> [WireGuardEndpoint?] {
            try WireGuardDeviceUpdate(from: try device(now), to: try configuration([wanted])).peers.map(\.endpoint)
        }
        #expect(try endpoints([]) == [last])
        #expect(try endpoints([unheard]) == [last])
        #expect(try endpoints([heard]) == [])
    }

    /// Out before in, and all that a peer is but its session and its handshakes stays.
    @Test func forgetsWhatCameOfAPeer() throws {
        let endpoint = WireGuardEndpoint(address: try IPAddress(parsing: "192.0.2.7"), port: try Port(40000))
        let peer = WireGuardPeerStatus(
            publicKey: first, endpoint: endpoint, persistentKeepalive: 25, lastHandshake: 1, receivedBytes: 2, allowedIPs: [range]
        )
        let update = WireGuardDeviceUpdate(forgetting: [peer])
        #expect(update.peers.map(\.action) == [.remove, .add])
        #expect(update.peers.allSatisfy { $0.publicKey == first })
        #expect(update.peers.last?.endpoint == endpoint)
        #expect(update.peers.last?.persistentKeepalive == 25)
        #expect(update.peers.last?.allowedIPs == [range])
        #expect(update.changes.isEmpty, "it is no drift")
    }

    @Test func touchesOnlyThePeerThatDiffers() throws {
        let now = [WireGuardPeerStatus(publicKey: first, allowedIPs: [range]), WireGuardPeerStatus(publicKey: second)]
        let wanted = [
            WireGuardPeerConfiguration(publicKey: first, allowedIPs: [range]),
            WireGuardPeerConfiguration(publicKey: second, allowedIPs: [otherRange]),
        ]
        let update = try WireGuardDeviceUpdate(from: try device(now), to: try configuration(wanted))
        #expect(update.privateKey == nil)
        #expect(update.peers.map(\.publicKey) == [second])
        #expect(update.peers[0].replacesAllowedIPs == false)
        #expect(update.changes.map(\.description) == ["peer \(second) allowed IPs 10.200.0.3/32 added"])
    }

    @Test func removesBeforeItAdds() throws {
        let now = [WireGuardPeerStatus(publicKey: second, allowedIPs: [range])]
        let wanted = [WireGuardPeerConfiguration(publicKey: first, allowedIPs: [range])]
        let update = try WireGuardDeviceUpdate(from: try device(now), to: try configuration(wanted))
        #expect(update.peers.map(\.action) == [.remove, .add])
        #expect(update.changes.map(\.description) == ["peer \(second) removed", "peer \(first) added (10.200.0.2/32)"])
    }

    @Test func takesAllowedIPsAwayByReplacingThem() throws {
        let now = [WireGuardPeerStatus(publicKey: first, allowedIPs: [range, otherRange])]
        let wanted = [WireGuardPeerConfiguration(publicKey: first, allowedIPs: [range])]
        let update = try WireGuardDeviceUpdate(from: try device(now), to: try configuration(wanted))
        #expect(update.peers[0].replacesAllowedIPs)
        #expect(update.peers[0].allowedIPs == [range])
    }

    @Test func setsAndRemovesAPresharedKey() throws {
        let secret = try SecretBytes.random(count: 32)
        let with = WireGuardPeerStatus(publicKey: first, presharedKey: secret, allowedIPs: [range])
        let without = WireGuardPeerStatus(publicKey: first, allowedIPs: [range])
        let wantsIt = WireGuardPeerConfiguration(publicKey: first, presharedKey: secret, allowedIPs: [range])
        let wantsNone = WireGuardPeerConfiguration(publicKey: first, allowedIPs: [range])
        #expect(try WireGuardDeviceUpdate(from: try device([with]), to: try configuration([wantsIt])).isEmpty)
        let set = try WireGuardDeviceUpdate(from: try device([without]), to: try configuration([wantsIt]))
        #expect(set.peers[0].presharedKey == .set(secret))
        let removal = try WireGuardDeviceUpdate(from: try device([with]), to: try configuration([wantsNone]))
        #expect(removal.peers[0].presharedKey == .remove)
    }

    @Test func keepsThePortOfADeviceThatMayHaveAny() throws {
        var wanted = try configuration([])
        wanted.listenPort = nil
        #expect(try WireGuardDeviceUpdate(from: try device([]), to: wanted).isEmpty)
    }

    @Test func setsAnotherKeyOnlyWhenThePublicKeyDiffers() throws {
        var now = try device([])
        now.publicKey = first
        let update = try WireGuardDeviceUpdate(from: now, to: try configuration([]))
        #expect(update.privateKey == privateKey)
        #expect(update.changes.map(\.description) == ["private key of \(try privateKey.publicKey()) (was of \(first))"])
    }
}
