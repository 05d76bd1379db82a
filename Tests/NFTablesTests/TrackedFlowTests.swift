import NFTables
import NetlinkMessages
import NetworkTypes
import Testing

@Suite struct TrackedFlowTests {
    private func flow(_ transport: UInt8, to destination: String, _ port: UInt16, answeredBy target: String, _ targetPort: UInt16)
        throws
        -> TrackedFlow
    {
        TrackedFlow(
            transport: transport, source: try IPv4Address(parsing: "10.200.0.1"), sourcePort: 5000,
            destination: try IPv4Address(parsing: destination), destinationPort: port,
            replySource: try IPv4Address(parsing: target), replySourcePort: targetPort)
    }

    @Test func onlyUDPFlowsThatGoElsewhereAreStale() throws {
        let forwards: Forwards = [
            ForwardKey(.udp, try Port(53)): ForwardTarget(try IPv4Address(parsing: "10.96.0.10"), try Port(53)),
            ForwardKey(.tcp, try Port(80)): ForwardTarget(try IPv4Address(parsing: "10.96.0.1"), try Port(80)),
        ]
        let flows = [
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.96.0.10", 53),  // as it should be
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.96.0.11", 53),  // former target
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.96.0.10", 54),  // former port
            try flow(17, to: "10.200.0.2", 54, answeredBy: "10.96.0.10", 53),  // binding is gone
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.200.0.2", 53),  // from before the table
            try flow(17, to: "10.0.0.9", 54, answeredBy: "10.0.0.9", 54),  // not ours
            try flow(6, to: "10.200.0.2", 80, answeredBy: "10.96.0.9", 80),  // TCP ends by itself
        ]
        let stale = TrackedFlow.stale(flows, to: try IPv4Address(parsing: "10.200.0.2"), forwards: forwards)
        #expect(stale == Array(flows[1...4]))
    }

    @Test func aFlowToAnEndpointThatIsStillOneStays() throws {
        let (a, b) = (try IPv4Address(parsing: "10.244.0.1"), try IPv4Address(parsing: "10.244.0.2"))
        let spreads: Spreads = [
            ForwardKey(.udp, try Port(53)): [ForwardTarget(a, try Port(53)), ForwardTarget(b, try Port(53))]
        ]
        let flows = [
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.244.0.1", 53),
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.244.0.2", 53),
            try flow(17, to: "10.200.0.2", 53, answeredBy: "10.244.0.3", 53),  // an endpoint that is gone
        ]
        let stale = TrackedFlow.stale(flows, to: try IPv4Address(parsing: "10.200.0.2"), forwards: [:], spreads: spreads)
        #expect(stale == [flows[2]])
    }

    @Test func aFlowIsReadAsCtnetlinkSendsIt() throws {
        // IPCTNL_MSG_CT_NEW as nfnetlink_conntrack.h lays it out: both tuples and CTA_ID.
        let tuple: (UInt8, [UInt8], [UInt8], [UInt8], [UInt8]) -> [UInt8] = { type, source, destination, port, otherPort in
            [52, 0, type, 0x80, 20, 0, 1, 0x80, 8, 0, 1, 0] + source + [8, 0, 2, 0] + destination
                + [28, 0, 2, 0x80, 5, 0, 1, 0, 17, 0, 0, 0, 6, 0, 2, 0] + port + [0, 0, 6, 0, 3, 0] + otherPort + [0, 0]
        }
        let body: [UInt8] =
            [2, 0, 0, 0] + tuple(1, [10, 200, 0, 1], [10, 200, 0, 2], [0x13, 0x88], [0, 53])
            + tuple(2, [10, 96, 0, 10], [10, 200, 0, 1], [0, 53], [0x13, 0x88]) + [8, 0, 12, 0, 1, 2, 3, 4]
        let reply = NetlinkReply.fake(type: 0x0100, body: body)
        let flow = try #require(try TrackedFlow.flows(in: [reply]).first)
        #expect(flow.destinationPort == 53)
        #expect(flow.replySource == (try IPv4Address(parsing: "10.96.0.10")))
        // What is deleted is the flow by its first direction and its identity.
        #expect(flow.deletion.attributes.bytes == Array(body[4..<56]) + [8, 0, 12, 0, 1, 2, 3, 4])
        #expect(flow.deletion.type == 0x0102)
        #expect(try TrackedFlow.flows(in: [NetlinkReply.fake(type: 0x0100, body: [2, 0, 0, 0])]).isEmpty)
    }
}
