import NetlinkMessages
import Testing

@Suite struct ParsedAttributesTests {
    @Test func readsWhatTheBuilderWrote() throws {
        let built = NetlinkAttributes { attributes in
            attributes.put(NetlinkAttributeType(1), u8: 0xAB)
            attributes.put(NetlinkAttributeType(2), u16: 0x1234)
            attributes.put(NetlinkAttributeType(3), u32BigEndian: 0x0102_0304)
            attributes.put(NetlinkAttributeType(4), u64: .max)
            attributes.put(NetlinkAttributeType(5), string: "wg-relay")
            attributes.nest(NetlinkAttributeType(6)) { $0.put(NetlinkAttributeType(7), bytes: [1, 2, 3]) }
        }
        let parsed = try ParsedAttributes(parsing: built.bytes[...])
        #expect(parsed.count == 6)
        #expect(try parsed[NetlinkAttributeType(1)]?.u8() == 0xAB)
        #expect(try parsed[NetlinkAttributeType(2)]?.u16() == 0x1234)
        #expect(try parsed[NetlinkAttributeType(3)]?.u32BigEndian() == 0x0102_0304)
        #expect(parsed[NetlinkAttributeType(3)]?.payload == [1, 2, 3, 4])
        #expect(try parsed[NetlinkAttributeType(4)]?.u64() == .max)
        #expect(parsed[NetlinkAttributeType(5)]?.string == "wg-relay")
        #expect(try parsed[NetlinkAttributeType(6)]?.nested()[NetlinkAttributeType(7)]?.payload == [1, 2, 3])
        #expect(parsed[NetlinkAttributeType(8)]?.type == nil)
    }

    @Test(
        arguments: [
            [0, 0, 1, 0],  // a length of zero would never advance
            [3, 0, 1, 0],  // shorter than its own header
            [9, 0, 1, 0, 1, 2, 3, 4],  // one byte longer than what is left
            [0xFF, 0xFF, 1, 0, 1, 2, 3, 4],
            [8, 0, 1, 0, 1, 2, 3, 4, 0, 0, 0, 0],  // the second one
        ] as [[UInt8]])
    func refusesLengthsThatLie(bytes: [UInt8]) {
        #expect(throws: MalformedNetlink.self) { try ParsedAttributes(parsing: bytes[...]) }
    }

    @Test func acceptsAnUnpaddedLastAttributeAndTrailingPadding() throws {
        #expect(try ParsedAttributes(parsing: [5, 0, 1, 0, 7]).count == 1)
        #expect(try ParsedAttributes(parsing: [5, 0, 1, 0, 7, 0, 0, 0, 0, 0]).count == 1)
        #expect(try ParsedAttributes(parsing: []).count == 0)
    }

    @Test func ignoresTheFlagBitsOfAType() throws {
        let parsed = try ParsedAttributes(parsing: [4, 0, 9, 0xC0])
        #expect(parsed[NetlinkAttributeType(9)] != nil)
    }

    @Test func refusesIntegersOfAnotherWidth() throws {
        let attribute = try #require(try ParsedAttributes(parsing: [6, 0, 1, 0, 1, 2, 0, 0])[NetlinkAttributeType(1)])
        #expect(try attribute.u16() == 0x0201)
        #expect(throws: MalformedNetlink.self) { try attribute.u32() }
        #expect(throws: MalformedNetlink.self) { try attribute.u8() }
        #expect(throws: MalformedNetlink.self) { try attribute.structure(as: UInt32.self) }
    }

    @Test func endsAStringAtItsFirstNUL() throws {
        let parsed = try ParsedAttributes(parsing: [9, 0, 1, 0, 0x61, 0x62, 0, 0x63, 0, 0, 0, 0])
        #expect(parsed[NetlinkAttributeType(1)]?.string == "ab")
    }
}
