import NetlinkMessages
import NetworkTypes
import RouteNetlink
import Testing

@Suite struct LinkTests {
    @Test func createsALinkOfAKind() throws {
        let message = Link.create(try InterfaceName(parsing: "wg0"), kind: "wireguard")
        #expect(message.description == "RTM_NEWLINK wg0 of kind wireguard")
        #expect(
            try message.encoded(sequence: 1) == [
                60, 0, 0, 0, 16, 0, 1, 6, 1, 0, 0, 0, 0, 0, 0, 0,  // RTM_NEWLINK, REQUEST | EXCL | CREATE
                0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,  // ifinfomsg
                8, 0, 3, 0, 0x77, 0x67, 0x30, 0,  // IFLA_IFNAME
                20, 0, 18, 0x80,  // IFLA_LINKINFO
                14, 0, 1, 0, 0x77, 0x69, 0x72, 0x65, 0x67, 0x75, 0x61, 0x72, 0x64, 0, 0, 0,  // IFLA_INFO_KIND
            ])
    }

    @Test func readsALink() throws {
        let datagram: [[UInt8]] = [
            [80, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0xFE, 0xFF, 7, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],  // index 7, IFF_UP
            [8, 0, 3, 0, 0x77, 0x67, 0x30, 0],  // IFLA_IFNAME wg0
            [8, 0, 4, 0, 0x8C, 5, 0, 0],  // IFLA_MTU 1420
            [8, 0, 13, 0, 0xF4, 1, 0, 0],  // IFLA_TXQLEN 500
            [16, 0, 18, 0, 8, 0, 1, 0, 0x74, 0x75, 0x6E, 0, 4, 0, 2, 0],  // IFLA_LINKINFO { IFLA_INFO_KIND tun, data }
            [8, 0, 99, 0, 1, 2, 3, 4],  // one nobody knows
        ]
        let link = try Link(try #require(try NetlinkReply.parse(Array(datagram.joined())[...]).first))
        #expect(link.index == 7)
        #expect(link.name == "wg0")
        #expect(link.mtu == 1420)
        #expect(link.queueLength == 500)
        #expect(link.kind == "tun")
        #expect(link.isUp)
        #expect(link.ipv4(.forwarding) == nil)
        let message = link.setQueueLength(2048)
        #expect(message.description == "RTM_NEWLINK wg0 txqueuelen 2048")
        #expect(try message.encoded(sequence: 1).suffix(8) == [8, 0, 13, 0, 0, 8, 0, 0])
        #expect(
            try link.setUp().encoded(sequence: 1).suffix(16) == [
                0, 0, 0, 0, 7, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0,  // index, flags and change: IFF_UP
            ])
    }

    @Test func readsAndSetsWhatIPv4HasOfALink() throws {
        let settings = (1...26).map { UInt8($0 == 1 ? 0 : $0) }
        let datagram: [[UInt8]] = [
            [156, 0, 0, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0],
            [0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],  // index 7
            [8, 0, 3, 0, 0x77, 0x67, 0x30, 0],  // IFLA_IFNAME wg0
            [116, 0, 26, 0x80, 112, 0, 2, 0, 108, 0, 1, 0],  // IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF
            settings.flatMap { [$0, 0, 0, 0] },
        ]
        let link = try Link(try #require(try NetlinkReply.parse(Array(datagram.joined())[...]).first))
        #expect(link.ipv4(.forwarding) == 0)
        #expect(link.ipv4(.routeLocalnet) == 26)
        let message = link.set(.routeLocalnet, to: 1)
        #expect(message.description == "RTM_NEWLINK wg0 routeLocalnet 1")
        #expect(
            try message.encoded(sequence: 1).dropFirst(32) == [
                20, 0, 26, 0x80, 16, 0, 2, 0x80, 12, 0, 1, 0x80,  // IFLA_AF_SPEC { AF_INET { IFLA_INET_CONF
                8, 0, 26, 0, 1, 0, 0, 0,  // IPV4_DEVCONF_ROUTE_LOCALNET
            ])
    }

    @Test func addsAnAddress() throws {
        let message = InterfaceAddress(try IPPrefix(parsing: "10.200.0.1/24"), on: 7)
            .add(linkName: try InterfaceName(parsing: "wg-relay"))
        #expect(message.description == "RTM_NEWADDR 10.200.0.1/24 on wg-relay")
        #expect(
            try message.encoded(sequence: 1) == [
                40, 0, 0, 0, 20, 0, 1, 6, 1, 0, 0, 0, 0, 0, 0, 0,
                2, 24, 0, 0, 7, 0, 0, 0,  // AF_INET, /24, index 7
                8, 0, 2, 0, 10, 200, 0, 1,  // IFA_LOCAL
                8, 0, 1, 0, 10, 200, 0, 1,  // IFA_ADDRESS
            ])
    }

    @Test func addsARoute() throws {
        let message = Route(to: try CIDR(parsing: "10.96.0.0/12"), link: 7).add(linkName: try InterfaceName(parsing: "wg-relay"))
        #expect(message.description == "RTM_NEWROUTE 10.96.0.0/12 on wg-relay")
        #expect(
            try message.encoded(sequence: 1) == [
                44, 0, 0, 0, 24, 0, 1, 6, 1, 0, 0, 0, 0, 0, 0, 0,
                2, 12, 0, 0, 254, 4, 253, 1, 0, 0, 0, 0,  // AF_INET, /12, main table, static, link scope, unicast
                8, 0, 1, 0, 10, 96, 0, 0,  // RTA_DST
                8, 0, 4, 0, 7, 0, 0, 0,  // RTA_OIF
            ])
    }
}
