import NetlinkMessages
import RouteNetlink
import Testing

@Suite struct DeviceFeaturesTests {
    private let family = GenericFamily(name: "ethtool", number: 21)

    @Test func turnsNamedFeaturesOff() throws {
        // The layout is what ethtool 6.1 sends for `ethtool -K v0 gro off`, but for its reply flag.
        let message = DeviceFeatures.set(["rx-gro"], on: false, of: try InterfaceName(parsing: "v0"), family: family)
        #expect(
            try message.encoded(sequence: 1) == [
                64, 0, 0, 0, 21, 0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 0,
                12, 1, 0, 0,  // ETHTOOL_MSG_FEATURES_SET
                20, 0, 1, 0x80,  // ETHTOOL_A_FEATURES_HEADER
                7, 0, 2, 0, 0x76, 0x30, 0, 0,  // device v0
                8, 0, 3, 0, 2, 0, 0, 0,  // ETHTOOL_FLAG_OMIT_REPLY
                24, 0, 3, 0x80,  // ETHTOOL_A_FEATURES_WANTED
                20, 0, 3, 0x80,  // ETHTOOL_A_BITSET_BITS
                16, 0, 1, 0x80,  // one bit, without a value: off
                11, 0, 2, 0, 0x72, 0x78, 0x2D, 0x67, 0x72, 0x6F, 0, 0,  // rx-gro
            ])
    }

    @Test func findsTheOffloadsThatAreOnAndChangeable() throws {
        func bitset(_ names: [String]) -> NetlinkAttributes {
            NetlinkAttributes { attributes in
                attributes.nest(NetlinkAttributeType(3)) { bits in
                    for name in names {
                        bits.nest(NetlinkAttributeType(1)) { $0.put(NetlinkAttributeType(2), string: name) }
                    }
                }
            }
        }
        let names = ["rx-gro", "tx-tcp6-segmentation", "tx-generic-segmentation", "rx-lro", "tx-checksum-sctp"]
        let reply = family.message(
            12,
            attributes: NetlinkAttributes { attributes in
                attributes.nest(NetlinkAttributeType(2)) { $0.append(bitset(names)) }
                attributes.nest(NetlinkAttributeType(4)) { $0.append(bitset(names.filter { $0 != "tx-generic-segmentation" })) }
                attributes.nest(NetlinkAttributeType(5)) { $0.append(bitset(["rx-lro"])) }
            }, description: "reply")
        let bytes = try reply.encoded(sequence: 1)
        let features = try DeviceFeatures(try #require(try NetlinkReply.parse(bytes[...]).first))
        #expect(features.activeOffloads == ["rx-gro", "tx-tcp6-segmentation"])
    }
}
