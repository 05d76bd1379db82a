import Testing

@testable import LinkProtocol

@Suite struct HandedPartTests {
    /// All messages in some bytes.
    private func messages(_ bytes: [UInt8]) throws -> [ControlMessage] {
        var reader = ControlReader()
        var offset = 0
        var messages: [ControlMessage] = []
        while let message = try reader.read(bytes.span.bytes, &offset) { messages.append(message) }
        return messages
    }

    private func whole(_ messages: [ControlMessage], most: Int = 1 << 20) throws -> [UInt8]? {
        var assembly = HandedAssembly(most: most)
        var whole: [UInt8]?
        for case .part(let part) in messages { whole = try assembly.take(part) }
        return whole
    }

    @Test(arguments: [1, HandedPart.longest - 1, HandedPart.longest, HandedPart.longest + 1, 100_000])
    func comesTogetherAgain(count: Int) throws {
        let bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        #expect(try whole(messages(HandedPart.messages(of: bytes))) == bytes)
    }

    @Test func beginsAnew() throws {
        let first = try messages(HandedPart.messages(of: Array(repeating: 1, count: 10_000)))
        let second = try messages(HandedPart.messages(of: Array(repeating: 2, count: 9_000)))
        #expect(try whole(Array(first.prefix(2)) + second) == Array(repeating: 2, count: 9_000))
    }

    @Test func refusesWhatDoesNotFollowOrIsTooMuch() throws {
        let parts = try messages(HandedPart.messages(of: Array(repeating: 1, count: 20_000)))
        #expect(throws: LinkProtocolError.self) { try whole([parts[0], parts[2]]) }
        #expect(throws: LinkProtocolError.self) { try whole([parts[1]]) }
        #expect(throws: LinkProtocolError.self) { try whole(parts, most: 19_999) }
        let others = try messages(HandedPart.messages(of: Array(repeating: 1, count: 30_000)))
        #expect(throws: LinkProtocolError.self) { try whole([parts[0], others[1]]) }
    }

    @Test func anEmptyPartAndOneBehindItsWholeAreNone() {
        #expect(throws: LinkProtocolError.self) { try messages([5, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0]) }
        #expect(throws: LinkProtocolError.self) { try messages([5, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 7]) }
        #expect(throws: LinkProtocolError.self) { try messages([5, 0, 9, 0xFF, 0xFF, 0xFF, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 7]) }
    }
}
