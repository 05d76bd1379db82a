import CLinuxHeaders
public import NetlinkMessages

/// A network interface, and the messages that read and change it.
public struct Link: Hashable, Sendable {
    /// The kernel's number for it; never zero.
    public let index: UInt32
    public let name: String
    /// `wireguard`, `veth`, `tun`, …; nil for hardware.
    public let kind: String?
    /// Bytes.
    public let mtu: UInt32
    /// Packets that may wait to be sent (`txqueuelen`); what comes beyond is dropped. Zero for links that keep none waiting.
    public let queueLength: UInt32
    public let isUp: Bool
    /// By `IPv4Setting`, from 1; empty where the link has no IPv4.
    private let ipv4Settings: [Int32]

    /// - Throws: `MalformedNetlink` when the answer is none to `get` or `list`.
    public init(_ reply: NetlinkReply) throws(MalformedNetlink) {
        let header = try reply.header(as: ifinfomsg.self)
        let attributes = try reply.attributes(after: ifinfomsg.self)
        guard let name = attributes[.linkName]?.string, let index = UInt32(exactly: header.ifi_index), index > 0 else {
            throw MalformedNetlink("a link without a name")
        }
        self.index = index
        self.name = name
        kind = try attributes[.linkInfo]?.nested()[.linkInfoKind]?.string
        mtu = try attributes[.linkMTU]?.u32() ?? 0
        queueLength = try attributes[.linkQueueLength]?.u32() ?? 0
        isUp = header.ifi_flags & UInt32(IFF_UP) != 0
        let settings = try attributes[.linkFamilies]?.nested()[.linkIPv4]?.nested()[.linkIPv4Settings]
        ipv4Settings = settings?.array(of: Int32.self) ?? []
    }

    /// Nil where the link has no IPv4.
    public func ipv4(_ setting: IPv4Setting) -> Int32? {
        ipv4Settings.indices.contains(setting.rawValue - 1) ? ipv4Settings[setting.rawValue - 1] : nil
    }

    /// Answered with one link, or ENODEV.
    public static func get(_ name: InterfaceName) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_GETLINK), flags: [], header: ifinfomsg(),
            attributes: NetlinkAttributes { $0.put(.linkName, string: name.description) },
            description: "RTM_GETLINK \(name)")
    }

    /// For `dump`: every link of the namespace.
    public static func list() -> NetlinkMessage {
        NetlinkMessage(type: UInt16(RTM_GETLINK), flags: [], header: ifinfomsg(), description: "RTM_GETLINK (all)")
    }

    /// EEXIST when the name is taken; EOPNOTSUPP when the kernel does not know the kind.
    public static func create(_ name: InterfaceName, kind: String) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: [.create, .exclusive], header: ifinfomsg(),
            attributes: NetlinkAttributes { attributes in
                attributes.put(.linkName, string: name.description)
                attributes.nest(.linkInfo) { $0.put(.linkInfoKind, string: kind) }
            },
            description: "RTM_NEWLINK \(name) of kind \(kind)")
    }

    public func delete() -> NetlinkMessage {
        NetlinkMessage(type: UInt16(RTM_DELLINK), flags: [], header: header(), description: "RTM_DELLINK \(name)")
    }

    public func setMTU(_ bytes: UInt32) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: [], header: header(),
            attributes: NetlinkAttributes { $0.put(.linkMTU, u32: bytes) },
            description: "RTM_NEWLINK \(name) mtu \(bytes)")
    }

    public func setQueueLength(_ packets: UInt32) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: [], header: header(),
            attributes: NetlinkAttributes { $0.put(.linkQueueLength, u32: packets) },
            description: "RTM_NEWLINK \(name) txqueuelen \(packets)")
    }

    public func setUp() -> NetlinkMessage {
        var header = header()
        header.ifi_flags = UInt32(IFF_UP)
        header.ifi_change = UInt32(IFF_UP)
        return NetlinkMessage(type: UInt16(RTM_NEWLINK), flags: [], header: header, description: "RTM_NEWLINK \(name) up")
    }

    public func set(_ setting: IPv4Setting, to value: UInt32) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_NEWLINK), flags: [], header: header(),
            attributes: NetlinkAttributes { attributes in
                attributes.nest(.linkFamilies) { families in
                    families.nest(.linkIPv4) {
                        $0.nest(.linkIPv4Settings) { $0.put(NetlinkAttributeType(setting.rawValue), u32: value) }
                    }
                }
            },
            description: "RTM_NEWLINK \(name) \(setting) \(value)")
    }

    private func header() -> ifinfomsg {
        var header = ifinfomsg()
        header.ifi_index = Int32(bitPattern: index)
        return header
    }
}

/// What /proc/sys/net/ipv4/conf has of each link (`IPV4_DEVCONF_*` of linux/ip.h). Over netlink it takes CAP_NET_ADMIN and no
/// /proc/sys that can be written, which no container has.
public enum IPv4Setting: Int, Sendable {
    /// Whether what comes in by the link and is for somebody else is sent on.
    case forwarding = 1
    /// Whether 127/8 is an address like others on it.
    case routeLocalnet = 26
}

extension NetlinkAttributeType {
    static let linkFamilies = NetlinkAttributeType(IFLA_AF_SPEC)
    /// The families inside are numbered as everywhere.
    static let linkIPv4 = NetlinkAttributeType(AF_INET)
    static let linkIPv4Settings = NetlinkAttributeType(IFLA_INET_CONF)
    static let linkName = NetlinkAttributeType(IFLA_IFNAME)
    static let linkMTU = NetlinkAttributeType(IFLA_MTU)
    static let linkQueueLength = NetlinkAttributeType(IFLA_TXQLEN)
    static let linkInfo = NetlinkAttributeType(IFLA_LINKINFO)
    static let linkInfoKind = NetlinkAttributeType(IFLA_INFO_KIND)
}
