import CLinuxHeaders
public import NetlinkMessages

/// The features of a network device as `ethtool -k` lists them (ETHTOOL_MSG_FEATURES_GET).
public struct DeviceFeatures: Hashable, Sendable {
    /// On now, by the kernel's names: `rx-gro`, `tx-tcp-segmentation`, ….
    public let active: Set<String>
    /// Those that can be changed.
    public let changeable: Set<String>

    /// The family both messages belong to.
    public static let family = ETHTOOL_GENL_NAME

    /// - Throws: `MalformedNetlink` when the answer is none to `get`.
    public init(_ reply: NetlinkReply) throws(MalformedNetlink) {
        let attributes = try reply.attributes(after: genlmsghdr.self)
        active = try Self.names(attributes[.featuresActive])
        // "Hardware" is what user space may change at all, GRO and GSO of the core included.
        changeable = try Self.names(attributes[.featuresHardware]).subtracting(Self.names(attributes[.featuresNoChange]))
    }

    private static func names(_ bitset: ParsedAttribute?) throws(MalformedNetlink) -> Set<String> {
        guard let bits = try bitset?.nested()[.bitsetBits] else { return [] }
        var names: Set<String> = []
        for bit in try bits.nested() where bit.type == .bitsetBit {
            guard let name = try bit.nested()[.bitName]?.string else { throw MalformedNetlink("a device feature without a name") }
            names.insert(name)
        }
        return names
    }

    /// What merges or splits packets (GRO, GSO, TSO, LRO) and is on and changeable, sorted.
    public var activeOffloads: [String] { active.intersection(changeable).filter(Self.isOffload).sorted() }

    private static func isOffload(_ name: String) -> Bool {
        switch name {
        case "rx-gro", "rx-gro-hw", "rx-gro-list", "rx-udp-gro-forwarding", "rx-lro": true
        case "tx-generic-segmentation", "tx-udp-segmentation": true
        default: name.hasPrefix("tx-tcp") && name.hasSuffix("-segmentation")
        }
    }

    /// Answered with the device's features; EOPNOTSUPP where it has none.
    public static func get(_ name: InterfaceName, family: GenericFamily) -> NetlinkMessage {
        family.message(
            UInt8(ETHTOOL_MSG_FEATURES_GET), version: UInt8(ETHTOOL_GENL_VERSION),
            attributes: NetlinkAttributes { put(name, into: &$0, flags: 0) },
            description: "ETHTOOL_MSG_FEATURES_GET \(name)")
    }

    /// Turns the named features on or off and leaves all others; EOPNOTSUPP for a name the kernel does not know.
    public static func set(_ features: [String], on: Bool, of name: InterfaceName, family: GenericFamily) -> NetlinkMessage {
        let attributes = NetlinkAttributes { attributes in
            put(name, into: &attributes, flags: UInt32(ETHTOOL_FLAG_OMIT_REPLY))
            attributes.nest(.featuresWanted) { bitset in
                bitset.nest(.bitsetBits) { bits in
                    for feature in features {
                        bits.nest(.bitsetBit) { bit in
                            bit.put(.bitName, string: feature)
                            // The listed bits are the mask, those with a value the ones to set.
                            if on { bit.putFlag(.bitValue) }
                        }
                    }
                }
            }
        }
        return family.message(
            UInt8(ETHTOOL_MSG_FEATURES_SET), version: UInt8(ETHTOOL_GENL_VERSION), attributes: attributes,
            description: "ETHTOOL_MSG_FEATURES_SET \(name) \(features.joined(separator: ",")) \(on ? "on" : "off")")
    }

    private static func put(_ name: InterfaceName, into attributes: inout NetlinkAttributes, flags: UInt32) {
        attributes.nest(.featuresHeader) { header in
            header.put(.headerDeviceName, string: name.description)
            if flags != 0 { header.put(.headerFlags, u32: flags) }
        }
    }
}

extension NetlinkAttributeType {
    fileprivate static let featuresHeader = NetlinkAttributeType(ETHTOOL_A_FEATURES_HEADER)
    fileprivate static let featuresHardware = NetlinkAttributeType(ETHTOOL_A_FEATURES_HW)
    fileprivate static let featuresWanted = NetlinkAttributeType(ETHTOOL_A_FEATURES_WANTED)
    fileprivate static let featuresActive = NetlinkAttributeType(ETHTOOL_A_FEATURES_ACTIVE)
    fileprivate static let featuresNoChange = NetlinkAttributeType(ETHTOOL_A_FEATURES_NOCHANGE)
    fileprivate static let headerDeviceName = NetlinkAttributeType(ETHTOOL_A_HEADER_DEV_NAME)
    fileprivate static let headerFlags = NetlinkAttributeType(ETHTOOL_A_HEADER_FLAGS)
    fileprivate static let bitsetBits = NetlinkAttributeType(ETHTOOL_A_BITSET_BITS)
    fileprivate static let bitsetBit = NetlinkAttributeType(ETHTOOL_A_BITSET_BITS_BIT)
    fileprivate static let bitName = NetlinkAttributeType(ETHTOOL_A_BITSET_BIT_NAME)
    fileprivate static let bitValue = NetlinkAttributeType(ETHTOOL_A_BITSET_BIT_VALUE)
}
