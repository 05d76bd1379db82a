import NetlinkMessages
import Testing

@Suite struct NetlinkAttributesTests {
    @Test func nestsCloseThemselvesAndPadToFourBytes() throws {
        let attributes = NetlinkAttributes { attributes in
            attributes.put(NetlinkAttributeType(1), string: "wg0")
            attributes.nest(NetlinkAttributeType(2)) { nest in
                nest.put(NetlinkAttributeType(3), u8: 7)
                nest.put(NetlinkAttributeType(4), u16BigEndian: 0x1234)
            }
        }
        #expect(
            attributes.bytes == [
                8, 0, 1, 0, 0x77, 0x67, 0x30, 0,  // length 8, type 1, "wg0" with its NUL
                20, 0, 2, 0x80,  // length 20, type 2 with NLA_F_NESTED
                5, 0, 3, 0, 7, 0, 0, 0,  // length 5, padded
                6, 0, 4, 0, 0x12, 0x34, 0, 0,
            ])
    }
}
