import NetlinkMessages
import NetworkTypes
import Sodium
import Testing
import WireGuardNetlink

@Suite struct WireGuardStatusTests {
    private static let device = NetlinkAttributeType(2)
    private static let peers = NetlinkAttributeType(8)
    private static let item = NetlinkAttributeType(0)

    private static func reply(_ build: (inout NetlinkAttributes) -> Void) throws -> NetlinkReply {
        let family = GenericFamily(name: "wireguard", number: 30)
        let message = family.message(0, flags: .multipart, attributes: NetlinkAttributes(build), description: "reply")
        return try #require(try NetlinkReply.parse(try message.encoded(sequence: 1)[...]).first)
    }

    private static func put(_ address: [UInt8], _ length: UInt8, into list: inout NetlinkAttributes) {
        list.nest(item) { range in
            range.put(NetlinkAttributeType(1), u16: address.count == 4 ? 2 : 10)
            range.put(NetlinkAttributeType(2), bytes: address)
            range.put(NetlinkAttributeType(3), u8: length)
        }
    }

    /// As the kernel dumps it: the second message repeats the last peer with the rest of its allowed IPs, then goes on.
    static func replies() throws -> [NetlinkReply] {
        let first = try reply { attributes in
            attributes.put(NetlinkAttributeType(1), u32: 4)
            attributes.put(device, string: "wg0")
            attributes.put(NetlinkAttributeType(3), bytes: [UInt8](repeating: 1, count: 32))
            attributes.put(NetlinkAttributeType(4), bytes: [UInt8](repeating: 2, count: 32))
            attributes.put(NetlinkAttributeType(6), u16: 51821)
            attributes.put(NetlinkAttributeType(7), u32: 0)
            attributes.nest(peers) { list in
                list.nest(item) { peer in
                    peer.put(NetlinkAttributeType(1), bytes: [UInt8](repeating: 0xAA, count: 32))
                    peer.put(NetlinkAttributeType(2), bytes: [UInt8](repeating: 0, count: 32))
                    peer.put(NetlinkAttributeType(4), bytes: [2, 0, 0xCA, 0x6D, 203, 0, 113, 9, 0, 0, 0, 0, 0, 0, 0, 0])
                    peer.put(NetlinkAttributeType(5), u16: 25)
                    peer.put(NetlinkAttributeType(6), bytes: [0, 0, 0, 0x60, 0, 0, 0, 0] + [9, 0, 0, 0, 0, 0, 0, 0])
                    peer.put(NetlinkAttributeType(7), u64: 1000)
                    peer.put(NetlinkAttributeType(8), u64: 2000)
                    peer.nest(NetlinkAttributeType(9)) { put([10, 200, 0, 2], 32, into: &$0) }
                    peer.put(NetlinkAttributeType(10), u32: 1)
                }
            }
        }
        let second = try reply { attributes in
            attributes.put(device, string: "wg0")
            attributes.nest(peers) { list in
                list.nest(item) { peer in
                    peer.put(NetlinkAttributeType(1), bytes: [UInt8](repeating: 0xAA, count: 32))
                    peer.nest(NetlinkAttributeType(9)) { put([10, 96, 0, 0], 12, into: &$0) }
                }
                list.nest(item) { peer in
                    peer.put(NetlinkAttributeType(1), bytes: [UInt8](repeating: 0xBB, count: 32))
                    peer.put(NetlinkAttributeType(2), bytes: [UInt8](repeating: 3, count: 32))
                    peer.put(NetlinkAttributeType(6), bytes: [UInt8](repeating: 0, count: 16))
                }
            }
        }
        return [first, second]
    }

    @Test func putsSpreadPeersTogether() throws {
        let device = try WireGuardDeviceStatus(try Self.replies())
        #expect(device.publicKey?.bytes == [UInt8](repeating: 2, count: 32))
        #expect(device.listenPort == 51821)
        #expect(device.peers.count == 2)
        let first = device.peers[0]
        #expect(first.endpoint?.description == "203.0.113.9:51821")
        #expect(first.presharedKey == nil)
        #expect(first.persistentKeepalive == 25)
        #expect(first.lastHandshake == 0x6000_0000)
        #expect(first.receivedBytes == 1000)
        #expect(first.sentBytes == 2000)
        #expect(first.allowedIPs.map(\.description) == ["10.200.0.2/32", "10.96.0.0/12"])
        let second = device.peers[1]
        #expect(second.endpoint == nil)
        #expect(second.lastHandshake == nil)
        #expect(second.presharedKey == (try SecretBytes(copying: [UInt8](repeating: 3, count: 32))))
    }

    @Test func survivesEveryMutationOfAReply() throws {
        var generator = SplitMix(state: 42)
        let originals = try Self.replies().map { Array($0.body) }
        var refused = 0
        for _ in 0..<5000 {
            var bodies = originals
            let chosen = Int.random(in: 0..<bodies.count, using: &generator)
            for _ in 0..<Int.random(in: 1...4, using: &generator) {
                let place = Int.random(in: 0..<bodies[chosen].count, using: &generator)
                bodies[chosen][place] = UInt8.random(in: .min ... .max, using: &generator)
            }
            if Bool.random(using: &generator) {
                bodies[chosen].removeLast(Int.random(in: 0..<bodies[chosen].count, using: &generator))
            }
            do {
                var datagram: [UInt8] = []
                for body in bodies {
                    withUnsafeBytes(of: UInt32(16 + body.count)) { datagram += $0 }
                    datagram += [30, 0, 2, 0, 1, 0, 0, 0, 0, 0, 0, 0] + body
                    while datagram.count % 4 != 0 { datagram.append(0) }
                }
                _ = try WireGuardDeviceStatus(try NetlinkReply.parse(datagram[...]))
            } catch is MalformedNetlink {
                refused += 1
            }
        }
        #expect(refused > 500)
    }
}

/// Steele, Lea, Flood: the same numbers on every run.
struct SplitMix: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var value = state
        value = (value ^ (value >> 30)) &* 0xBF58_476D_1CE4_E5B9
        value = (value ^ (value >> 27)) &* 0x94D0_49BB_1331_11EB
        return value ^ (value >> 31)
    }
}
