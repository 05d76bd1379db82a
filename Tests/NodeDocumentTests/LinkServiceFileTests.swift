import NetworkTypes
import NodeDocument
import Sodium
import Testing

/// What the link program is told, and tells.
@Suite struct LinkServiceFileTests {
    private static func uplink(_ ordinal: Int, pin: String? = nil) -> LinkedUplink {
        LinkedUplink(
            ordinal: ordinal, address: LinkedUplink.address(ofOrdinal: ordinal), pin: SHA256.digest(of: pin ?? "\(ordinal)"))
    }

    private static func file(
        _ uplinks: [LinkedUplink], carriers: [TunnelCarrier] = [.tls], path: String = "/secret"
    ) -> LinkServiceFile {
        LinkServiceFile(uplinks: uplinks, tcpPorts: [.uplinkReadiness], udpPorts: [], carriers: carriers, path: path)
    }

    @Test func itHasEveryTunnelPortAndTheReadiness() throws {
        func binding(_ name: String, _ tunnel: Int, _ transport: RelayTransport) throws -> RelayBinding {
            RelayBinding(name: name, listenPort: try Port(443), tunnelPort: try Port(tunnel), transport: transport)
        }
        let link = RelayLink(
            carriers: [.wireGuard, .webSocket, .tls], listenPort: .defaultLink, hostname: "x", path: "/secret",
            uplinks: [Self.uplink(1), Self.uplink(0)])
        let bindings = [
            try binding("b", 20_001, .tcp(RelayTCP())), try binding("a", 20_000, .udp(RelayUDP(sessionTimeout: .seconds(600)))),
        ]
        let file = LinkServiceFile(link, bindings: bindings)
        #expect(file.tcpPorts == [try Port(20_001), .uplinkReadiness])
        #expect(file.udpPorts == [try Port(20_000)])
        #expect(file.udpSessionSeconds == [600])
        #expect(file.uplinks.map(\.ordinal) == [0, 1])
        #expect(file.carriers == [.webSocket, .tls])
        #expect(file.fault == nil)
        #expect(
            try DocumentJSON.decode(LinkServiceFile.self, from: DocumentJSON.encode(file), within: LinkServiceFile.bounds) == file
        )
    }

    @Test func whatCannotBeServedIsAFault() {
        let stray = LinkedUplink(ordinal: 0, address: IPv4Address(number: 0x7F00_0001), pin: SHA256.digest(of: "x"))
        let door = LinkedUplink(ordinal: 0, address: LinkedUplink.door, pin: SHA256.digest(of: "x"))
        for file in [
            Self.file([Self.uplink(0), Self.uplink(0, pin: "other")]),
            Self.file([Self.uplink(0, pin: "x"), Self.uplink(1, pin: "x")]),
            Self.file([stray]), Self.file([door]), Self.file([], path: "secret"), Self.file([], path: "/a b"),
            Self.file([], path: "/" + String(repeating: "a", count: 1024)), Self.file([], carriers: [.wireGuard]),
            Self.file([], carriers: []),
        ] { #expect(file.fault != nil, "\(file)") }
        #expect(Self.file([]).fault == nil, "an EdgeNode without uplinks yet")
    }

    @Test func linksOfAnUplinkAreSummed() {
        func link(_ roundTrip: Int?, _ bytes: UInt64) -> LinkStatusFile.Link {
            LinkStatusFile.Link(
                peer: "192.0.2.7:1", build: "b", roundTripMicroseconds: roundTrip, streams: 2, receivedBytes: bytes, sentBytes: 1)
        }
        let address = LinkedUplink.address(ofOrdinal: 3)
        let one = LinkStatusFile.Uplink(
            ordinal: 3, address: address, isReady: true, links: [link(nil, .max), link(700, 2), link(900, 3)], refusedPorts: [])
        let status = LinkStatusFile(build: "b", uplinks: [one])
        let report = status.report(at: address)
        #expect(report?.count == 3 && report?.roundTripMicroseconds == 700 && report?.streams == 6)
        #expect(report?.receivedBytes == 4, "a sum beyond 64 bits begins anew, and crashes nobody")
        #expect(status.report(at: LinkedUplink.address(ofOrdinal: 4)) == nil)
    }
}
