import NetlinkMessages
import NetworkTypes
import Sodium
import Testing
import WireGuardNetlink

@Suite struct WireGuardSocketTextTests {
    private static let answer = """
        private_key=000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e5f
        listen_port=51821
        fwmark=5
        public_key=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa
        preshared_key=0000000000000000000000000000000000000000000000000000000000000000
        protocol_version=1
        endpoint=192.0.2.1:51821
        last_handshake_time_sec=1700000000
        last_handshake_time_nsec=5
        tx_bytes=2000
        rx_bytes=1000
        persistent_keepalive_interval=25
        allowed_ip=10.200.0.2/32
        allowed_ip=fd00::/64
        public_key=bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb
        preshared_key=0303030303030303030303030303030303030303030303030303030303030303
        endpoint=[fe80::1%eth0]:7
        last_handshake_time_sec=0
        errno=0


        """

    @Test func readsADevice() throws {
        let device = try WireGuardDeviceStatus(socketText: Array(Self.answer.utf8))
        // What `wg pubkey` makes of that private key.
        #expect(device.publicKey?.description == "j0DFrbaPJWJK5bIU6nZ6bslNgp09e14a0bpvPiE4KF8=")
        #expect(device.listenPort == 51821)
        #expect(device.firewallMark == 5)
        #expect(device.peers.count == 2)
        let first = device.peers[0]
        #expect(first.publicKey.bytes == [UInt8](repeating: 0xAA, count: 32))
        #expect(first.presharedKey == nil)
        #expect(first.endpoint?.description == "192.0.2.1:51821")
        #expect(first.lastHandshake == 1_700_000_000)
        #expect(first.sentBytes == 2000)
        #expect(first.receivedBytes == 1000)
        #expect(first.persistentKeepalive == 25)
        #expect(first.allowedIPs.map(\.description) == ["10.200.0.2/32", "fd00::/64"])
        let second = device.peers[1]
        #expect(second.presharedKey == (try SecretBytes(copying: [UInt8](repeating: 3, count: 32))))
        #expect(second.endpoint?.description == "[fe80::1]:7")
        #expect(second.lastHandshake == nil)
    }

    @Test func hasNoPublicKeyWithoutAPrivateOne() throws {
        let text = "private_key=\(String(repeating: "0", count: 64))\nlisten_port=0\nerrno=0\n\n"
        #expect(try WireGuardDeviceStatus(socketText: Array(text.utf8)) == WireGuardDeviceStatus())
    }

    @Test func passesOverWhatItDoesNotKnow() throws {
        #expect(try WireGuardDeviceStatus(socketText: Array("new_thing=1\nerrno=0\n\n".utf8)) == WireGuardDeviceStatus())
    }

    @Test(arguments: [
        "listen_port", "listen_port=65536", "listen_port=", "fwmark=-1", "allowed_ip=10.0.0.0/8", "public_key=aa",
        "private_key=\(String(repeating: "g", count: 64))", "rx_bytes=1",
        "public_key=\(String(repeating: "a", count: 64))\nendpoint=1.2.3.4",
        "public_key=\(String(repeating: "a", count: 64))\nallowed_ip=10.0.0.0/33",
        "public_key=\(String(repeating: "a", count: 64))\nendpoint=1.2.3.4:0",
        "public_key=\(String(repeating: "a", count: 64))\nlast_handshake_time_sec=99999999999999999999",
    ])
    func refuses(text: String) {
        #expect(throws: MalformedWireGuardText.self) { try WireGuardDeviceStatus(socketText: Array(text.utf8)) }
    }

    @Test func errorsNeverRepeatASecret() throws {
        let text = "private_key=deadbeef\n"
        let error = #expect(throws: MalformedWireGuardText.self) { try WireGuardDeviceStatus(socketText: Array(text.utf8)) }
        #expect("\(try #require(error))" == "malformed answer of wireguard-go: private_key is not 64 hexadecimal digits")
    }

    @Test func survivesEveryMutation() throws {
        var generator = SplitMix(state: 7)
        let original = Array(Self.answer.utf8)
        var refused = 0
        for _ in 0..<2000 {
            var text = original
            for _ in 0..<Int.random(in: 1...3, using: &generator) {
                text[Int.random(in: 0..<text.count, using: &generator)] = UInt8.random(in: .min ... .max, using: &generator)
            }
            text.removeLast(Int.random(in: 0...text.count, using: &generator))
            do { _ = try WireGuardDeviceStatus(socketText: text) } catch is MalformedWireGuardText { refused += 1 }
        }
        #expect(refused > 100)
    }

    @Test func writesAnUpdate() throws {
        let key = try WireGuardPrivateKey.generate()
        let secret = try SecretBytes(copying: [UInt8](repeating: 3, count: 32))
        let first = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 0xAA, count: 32)))
        let gone = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 0xBB, count: 32)))
        let endpoint = WireGuardEndpoint(address: try IPAddress(parsing: "2001:db8::1"), port: try Port(51821))
        let configuration = WireGuardDeviceConfiguration(
            privateKey: key, listenPort: try Port(51821),
            peers: [
                WireGuardPeerConfiguration(
                    publicKey: first, presharedKey: secret, endpoint: endpoint, persistentKeepalive: 25,
                    allowedIPs: [try IPPrefix(parsing: "10.200.0.1/32")])
            ])
        let now = WireGuardDeviceStatus(publicKey: try key.publicKey(), peers: [WireGuardPeerStatus(publicKey: gone)])
        let update = try WireGuardDeviceUpdate(from: now, to: configuration)
        #expect(
            String(decoding: WireGuardSocketText.set(update), as: UTF8.self) == """
                set=1
                listen_port=51821
                public_key=\(String(repeating: "b", count: 64))
                remove=true
                public_key=\(String(repeating: "a", count: 64))
                preshared_key=\(String(repeating: "03", count: 32))
                endpoint=[2001:db8::1]:51821
                persistent_keepalive_interval=25
                replace_allowed_ips=true
                allowed_ip=10.200.0.1/32


                """)
    }

    @Test func readsTheVerdict() throws {
        #expect(try WireGuardSocketText.errno(in: Array("errno=0\n\n".utf8)) == 0)
        #expect(try WireGuardSocketText.errno(in: Array("errno=-22\n\n".utf8)) == 22)
        #expect(throws: MalformedWireGuardText.self) { try WireGuardSocketText.errno(in: Array("\n\n".utf8)) }
        #expect(WireGuardSocketText.isComplete(Array("errno=0\n\n".utf8)))
        #expect(!WireGuardSocketText.isComplete(Array("errno=0\n".utf8)))
    }
}
