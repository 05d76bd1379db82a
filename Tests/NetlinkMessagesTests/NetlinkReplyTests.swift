import NetlinkMessages
import Testing

@Suite struct NetlinkReplyTests {
    /// A message of `type` around `body`.
    private static func datagram(_ type: UInt8, flags: UInt16 = 0, _ body: [UInt8]) -> [UInt8] {
        [UInt8(16 + body.count), 0, 0, 0, type, 0, UInt8(flags & 0xFF), UInt8(flags >> 8), 9, 0, 0, 0, 0, 0, 0, 0] + body
    }

    private static let requestHeader: [UInt8] = [20, 0, 0, 0, 20, 0, 5, 0, 9, 0, 0, 0, 0, 0, 0, 0]
    /// NLMSGERR_ATTR_MSG "no".
    private static let text: [UInt8] = [7, 0, 1, 0, 0x6E, 0x6F, 0, 0]

    @Test func readsSeveralMessagesOfOneDatagram() throws {
        let bytes = Self.datagram(20, [1, 2, 3, 4]) + Self.datagram(3, [0, 0, 0, 0])
        let replies = try NetlinkReply.parse(bytes[...])
        #expect(replies.map(\.type) == [20, 3])
        #expect(replies.map(\.sequence) == [9, 9])
        #expect(try replies[0].verdict() == nil)
        #expect(try replies[1].verdict() == .done(errno: 0, message: nil))
    }

    @Test func readsTheKernelsExplanation() throws {
        let minusSeventeen: [UInt8] = [0xEF, 0xFF, 0xFF, 0xFF]
        let capped = Self.datagram(2, flags: 0x300, minusSeventeen + Self.requestHeader + Self.text)
        #expect(try NetlinkReply.parse(capped[...])[0].verdict() == .acknowledged(errno: 17, message: "no"))
        // Not capped: the request's four bytes of body stand before the text.
        let whole = Self.datagram(2, flags: 0x200, minusSeventeen + Self.requestHeader + [1, 2, 3, 4] + Self.text)
        #expect(try NetlinkReply.parse(whole[...])[0].verdict() == .acknowledged(errno: 17, message: "no"))
        let silent = Self.datagram(2, flags: 0x100, [0, 0, 0, 0] + Self.requestHeader)
        #expect(try NetlinkReply.parse(silent[...])[0].verdict() == .acknowledged(errno: 0, message: nil))
    }

    @Test func readsTheErrorOfADump() throws {
        let bytes = Self.datagram(3, flags: 0x2, [0xED, 0xFF, 0xFF, 0xFF])
        #expect(try NetlinkReply.parse(bytes[...])[0].verdict() == .done(errno: 19, message: nil))
    }

    @Test(arguments: [0, 15, 17, 0xFFFF_FFFF] as [UInt32])
    func refusesLengthsThatLie(length: UInt32) {
        var bytes = Self.datagram(20, [])
        withUnsafeBytes(of: length) { bytes.replaceSubrange(0..<4, with: $0) }
        #expect(throws: MalformedNetlink.self) { try NetlinkReply.parse(bytes[...]) }
    }

    @Test func refusesAnErrorWithoutItsRequest() throws {
        let bytes = Self.datagram(2, [0, 0, 0, 0])
        let reply = try #require(try NetlinkReply.parse(bytes[...]).first)
        #expect(throws: MalformedNetlink.self) { try reply.verdict() }
    }

    @Test func survivesARequestLengthThatLies() throws {
        var bytes = Self.datagram(2, flags: 0x200, [0xEF, 0xFF, 0xFF, 0xFF] + Self.requestHeader + Self.text)
        bytes.replaceSubrange(20..<24, with: [0xFF, 0xFF, 0xFF, 0xFF])
        #expect(try NetlinkReply.parse(bytes[...])[0].verdict() == .acknowledged(errno: 17, message: nil))
    }
}
