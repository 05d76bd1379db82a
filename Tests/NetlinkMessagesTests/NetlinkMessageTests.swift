import CLinuxHeaders
import NetlinkMessages
import Sodium
import Testing

@Suite struct NetlinkMessageTests {
    @Test func encodesHeaderFamilyHeaderAndAttributes() throws {
        let message = NetlinkMessage(
            type: 0x1234, flags: .acknowledge, header: [1, 2],
            attributes: NetlinkAttributes { $0.put(NetlinkAttributeType(5), u8: 9) }, description: "golden")
        #expect(
            try message.encoded(sequence: 7, port: 3) == [
                28, 0, 0, 0,  // length
                0x34, 0x12, 5, 0,  // type, NLM_F_REQUEST | NLM_F_ACK
                7, 0, 0, 0, 3, 0, 0, 0,  // sequence, port
                1, 2, 0, 0,  // family header, padded
                5, 0, 5, 0, 9, 0, 0, 0,
            ])
    }

    @Test func copiesASecretOnlyIntoTheEncodedMessage() throws {
        let secret = try SecretBytes(copying: [UInt8](0xA0...0xA7))
        let inner = NetlinkAttributes { $0.put(NetlinkAttributeType(2), secret: secret) }
        let attributes = NetlinkAttributes { attributes in
            attributes.put(NetlinkAttributeType(1), u32: 1)
            attributes.nest(NetlinkAttributeType(3)) { $0.append(inner) }
            attributes.put(NetlinkAttributeType(4), u8: 4)
        }
        #expect(!attributes.bytes.contains(0xA0))
        #expect(attributes.holdsSecret)
        let message = NetlinkMessage(type: 1, flags: [], header: [], attributes: attributes, description: "secret")
        let parsed = try ParsedAttributes(parsing: message.encoded(sequence: 1).dropFirst(16))
        #expect(try parsed[NetlinkAttributeType(3)]?.nested()[NetlinkAttributeType(2)]?.payload == ArraySlice(0xA0...0xA7))
        #expect(try parsed[NetlinkAttributeType(4)]?.u8() == 4)
    }

    @Test func refusesAnAttributeThatItsLengthFieldCannotHold() throws {
        let attributes = NetlinkAttributes { $0.put(NetlinkAttributeType(6), bytes: [UInt8](repeating: 0, count: 65532)) }
        #expect(attributes.overlong == NetlinkAttributeType(6))
        let message = NetlinkMessage(type: 1, flags: [], header: [], attributes: attributes, description: "overlong")
        #expect(throws: MalformedNetlink.self) { try message.encoded(sequence: 1) }
        let largest = NetlinkAttributes { $0.put(NetlinkAttributeType(6), bytes: [UInt8](repeating: 0, count: 65531)) }
        #expect(largest.overlong == nil)
    }

    @Test func resolvesAGenericFamily() throws {
        #expect(
            try GenericFamily.resolve("wireguard").encoded(sequence: 1) == [
                36, 0, 0, 0, 16, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0,  // GENL_ID_CTRL
                3, 1, 0, 0,  // CTRL_CMD_GETFAMILY, version 1
                14, 0, 2, 0,  // CTRL_ATTR_FAMILY_NAME
                0x77, 0x69, 0x72, 0x65, 0x67, 0x75, 0x61, 0x72, 0x64, 0, 0, 0,
            ])
    }
}
