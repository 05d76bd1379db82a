import Glibc
import Netlink
import NetlinkMessages
import NetworkTypes
import RouteNetlink
import TestNetwork
import Testing

/// The kernel's real answers, then the same with random damage: read or refused, never a crash.
@Suite struct RepliesTests {
    private static let readers: [@Sendable (NetlinkReply) throws -> Void] = [
        { _ = try Link($0) }, { _ = try InterfaceAddress($0) }, { _ = try Route($0) }, { _ = try DeviceFeatures($0) },
        { _ = try BoundSocket($0, transport: .udp) }, { _ = try GenericFamily($0) }, { _ = try $0.verdict() },
    ]

    @Test func surviveDamage() throws {
        let namespace = try TestNamespace("kernel")
        let bodies = try namespace.inside {
            let route = try NetlinkSocket(.route)
            let generic = try NetlinkSocket(.generic)
            let family = try GenericFamily(try #require(try generic.request(GenericFamily.resolve("ethtool")).first))
            let lo = try InterfaceName(parsing: "lo")
            var replies = try [Link.list(), InterfaceAddress.list(), Route.list()].flatMap { try route.dump($0) }
            replies += try generic.request(DeviceFeatures.get(lo, family: family))
            replies += try generic.request(GenericFamily.resolve("ethtool"))
            return replies.map { Array($0.body) }
        }
        #expect(bodies.count > 5)
        var generator = SystemRandomNumberGenerator()
        var refused = 0
        for _ in 0..<2000 {
            for original in bodies {
                var body = original
                for _ in 0..<Int.random(in: 1...4, using: &generator) {
                    body[Int.random(in: 0..<body.count, using: &generator)] = UInt8.random(in: .min ... .max, using: &generator)
                }
                body.removeLast(Int.random(in: 0...min(body.count, 40), using: &generator))
                var datagram: [UInt8] = []
                withUnsafeBytes(of: UInt32(16 + body.count)) { datagram += $0 }
                datagram += [UInt8.random(in: 0...5, using: &generator), 0, 2, 3, 1, 0, 0, 0, 0, 0, 0, 0] + body
                let reply = try #require(try NetlinkReply.parse(datagram[...]).first)
                for reader in Self.readers {
                    do { try reader(reply) } catch is MalformedNetlink { refused += 1 }
                }
            }
        }
        #expect(refused > 1000)
    }
}
