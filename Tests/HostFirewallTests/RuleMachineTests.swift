import CLinuxHeaders
import NFTables
import NetworkTypes
import Testing

@testable import HostFirewall

/// The machine without a kernel: what each expression makes of a client's first packet to 443/TCP.
@Suite struct RuleMachineTests {
    private static let tcp: [UInt8] = [UInt8(IPPROTO_TCP)]

    private static let table: [(rule: [NFTablesExpression], last: RuleMachine.Step)] = [
        ([.meta(NFT_META_L4PROTO), .compare(.equal, tcp)], .goesOn),
        ([.meta(NFT_META_L4PROTO), .compare(.notEqual, tcp)], .fails),
        ([.payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2), .compare(.greater, [1, 0xBA])], .goesOn),
        ([.payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2), .compare(.less, [1, 0xBB])], .fails),
        ([.payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: .max, length: .max), .compare(.equal, [1, 0xBB])], .mayFail),
        ([.payload(NFT_PAYLOAD_NETWORK_HEADER, offset: 12, length: 4), .compare(.equal, [192, 0, 2, 1])], .fails),
        ([.meta(NFT_META_MARK), .compare(.equal, [7, 0, 0, 0])], .mayFail),
        // A shift makes unknown what was known.
        (
            [
                .meta(NFT_META_L4PROTO), .bitwise(operation: 1, mask: [], xor: [], from: .first, into: .first),
                .compare(.equal, tcp),
            ],
            .mayFail
        ),
        ([.lookup(in: "nobody", into: .verdict)], .ends(nil)), ([.lookup(in: "nobody", into: nil)], .mayFail),
        ([.verdict(.jump("web"))], .ends(.jump("web"))), ([.target("REJECT", revision: 0, [])], .ends(.drop)),
        ([.target("NFQUEUE", revision: 0, [])], .ends(nil)), ([.other("reject")], .ends(.drop)), ([.other("queue")], .ends(nil)),
        ([.other("counter")], .goesOn), ([.other("meta")], .goesOn), ([.other("limit")], .mayFail), ([.masquerade], .mayFail),
        ([.match("comment", revision: 0, [])], .goesOn), ([.match("limit", revision: 0, [])], .mayFail),
    ]

    @Test(arguments: table.indices) func eachExpressionIsFollowed(index: Int) throws {
        let (rule, last) = Self.table[index]
        var machine = RuleMachine(packet: InboundPacket(.v4, .tcp, try Port(443)), sets: [:])
        #expect(rule.map { machine.run($0) }.last == last)
    }
}
