import CLinuxHeaders
import NetlinkMessages
import Testing

@testable import NFTables

@Suite struct NFTablesExpressionTests {
    private let everyOne: [NFTablesExpression] = [
        .mask([0xFF, 0]), .bitwise(operation: 1, mask: [], xor: [], from: .first, into: .second),
        .byteOrder(NFT_BYTEORDER_HTON, length: 2, size: 2), .compare(.notEqual, [1]),
        .compare(.greaterOrEqual, [1, 2], in: .second),
        .connection(NFT_CT_STATE), .connection(NFT_CT_DST_IP, of: .original), .destinationNAT(port: .second),
        .fib(flags: 2, NFT_FIB_RESULT_ADDRTYPE), .immediate([1, 2, 3, 4], into: .second), .lookup(in: "map"),
        .lookup(in: "set", into: nil, isInverted: true), .lookup(in: "verdicts", into: .verdict), .masquerade,
        .match("tcp", revision: 0, [1, 2, 3]), .meta(NFT_META_L4PROTO),
        .payload(NFT_PAYLOAD_TRANSPORT_HEADER, offset: 2, length: 2),
        .range(NFT_RANGE_NEQ, from: [1], to: [2], in: .first), .route(NFT_RT_TCPMSS),
        .setOption(NFT_EXTHDR_OP_TCPOPT, type: 2, offset: 2, length: 2),
        .setPayload(NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 2, checksum: NFT_PAYLOAD_CSUM_INET, at: 10),
        .target("LOG", revision: 0, [7]), .verdict(.accept), .verdict(.drop), .verdict(.goOn), .verdict(.jump("web")),
        .verdict(.goTo("web")), .verdict(.back), .verdict(.other(3)), .other("counter"),
    ]

    private func read(_ build: (inout NetlinkAttributes) -> Void) throws -> [NFTablesExpression] {
        let rule = NetlinkAttributes { $0.nest(NetlinkAttributeType(NFTA_RULE_EXPRESSIONS), build) }
        return try NFTablesExpression.list(inRule: ParsedAttributes(parsing: rule.bytes[...]))
    }

    @Test func whatIsWrittenReadsTheSame() throws {
        #expect(try read { list in for expression in everyOne { expression.encode(into: &list) } } == everyOne)
    }

    @Test func whatIsNotKnownIsAnotherOne() throws {
        let found = try read { list in
            for (name, value) in [("meta", UInt32(3)), ("nonesuch", 3)] {
                list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) {
                    $0.put(NetlinkAttributeType(NFTA_EXPR_NAME), string: name)
                    // Sets, and loads nothing.
                    $0.nest(NetlinkAttributeType(NFTA_EXPR_DATA)) {
                        $0.put(NetlinkAttributeType(NFTA_META_SREG), u32BigEndian: value)
                    }
                }
            }
        }
        #expect(found == [.other("meta"), .other("nonesuch")])
        #expect(throws: MalformedNetlink.self) {
            try read { list in
                list.nest(NetlinkAttributeType(NFTA_LIST_ELEM)) {
                    $0.put(NetlinkAttributeType(NFTA_EXPR_NAME), string: "meta")
                    $0.nest(NetlinkAttributeType(NFTA_EXPR_DATA)) { $0.put(NetlinkAttributeType(NFTA_META_KEY), u8: 1) }
                }
            }
        }
    }
}
