import CLinuxHeaders
public import NetlinkMessages
public import NetworkTypes

/// A unicast route of the main table, and the messages that read and change it.
public struct Route: Hashable, Sendable {
    /// Host bits are zero; length 0 is the default route.
    public let destination: IPPrefix
    /// nil when the destination is reached on the link itself.
    public let gateway: IPAddress?
    /// nil for a route with several next hops.
    public let link: UInt32?
    /// Lower is better; 0 is the kernel's default for IPv4.
    public let metric: UInt32
    /// Who made it: `RTPROT_*` of linux/rtnetlink.h.
    public let origin: UInt8

    /// A route of ours (`RTPROT_STATIC`) to what lies behind the link.
    public init(to destination: CIDR, link: UInt32) {
        self.destination = IPPrefix(destination)
        gateway = nil
        self.link = link
        metric = 0
        origin = UInt8(RTPROT_STATIC)
    }

    /// - Returns: nil when the answer is a route of another table or kind (local, broadcast, …).
    /// - Throws: `MalformedNetlink` when it is no answer to `list`.
    public init?(_ reply: NetlinkReply) throws(MalformedNetlink) {
        let header = try reply.header(as: rtmsg.self)
        let attributes = try reply.attributes(after: rtmsg.self)
        let table = try attributes[.routeTable]?.u32() ?? UInt32(header.rtm_table)
        guard table == UInt32(RT_TABLE_MAIN.rawValue), header.rtm_type == UInt8(RTN_UNICAST) else { return nil }
        let size: Int
        switch Int32(header.rtm_family) {
        case AF_INET: size = 4
        case AF_INET6: size = 16
        default: return nil
        }
        let bytes = attributes[.routeDestination].map { Array($0.payload) } ?? [UInt8](repeating: 0, count: size)
        guard bytes.count == size, let address = IPAddress(bytes: bytes) else {
            throw MalformedNetlink("a route whose destination has \(bytes.count) bytes")
        }
        do throws(InvalidValue) {
            destination = try IPPrefix(address, length: Int(header.rtm_dst_len))
        } catch {
            throw MalformedNetlink("\(error)")
        }
        gateway = attributes[.routeGateway].flatMap { IPAddress(bytes: $0.payload) }
        link = try attributes[.routeLink]?.u32()
        metric = try attributes[.routePriority]?.u32() ?? 0
        origin = header.rtm_protocol
    }

    /// For `dump`: every route of the namespace, both families, all tables.
    public static func list() -> NetlinkMessage {
        NetlinkMessage(type: UInt16(RTM_GETROUTE), flags: [], header: rtmsg(), description: "RTM_GETROUTE (all)")
    }

    /// EEXIST when a route to the same destination with the same metric stands.
    public func add(linkName: InterfaceName) -> NetlinkMessage {
        message(UInt16(RTM_NEWROUTE), [.create, .exclusive], "RTM_NEWROUTE \(destination) on \(linkName)")
    }

    /// ESRCH when there is none.
    public func delete(linkName: InterfaceName) -> NetlinkMessage {
        message(UInt16(RTM_DELROUTE), [], "RTM_DELROUTE \(destination) on \(linkName)")
    }

    private func message(_ type: UInt16, _ flags: NetlinkFlags, _ description: String) -> NetlinkMessage {
        var header = rtmsg()
        header.rtm_family = destination.address.family
        header.rtm_dst_len = UInt8(destination.length)
        header.rtm_table = UInt8(RT_TABLE_MAIN.rawValue)
        header.rtm_protocol = origin
        header.rtm_scope = UInt8((gateway == nil ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE).rawValue)
        header.rtm_type = UInt8(RTN_UNICAST)
        let attributes = NetlinkAttributes { attributes in
            attributes.put(.routeDestination, bytes: destination.address.bytes)
            if let gateway { attributes.put(.routeGateway, bytes: gateway.bytes) }
            if let link { attributes.put(.routeLink, u32: link) }
            if metric != 0 { attributes.put(.routePriority, u32: metric) }
        }
        return NetlinkMessage(type: type, flags: flags, header: header, attributes: attributes, description: description)
    }
}

extension NetlinkAttributeType {
    static let routeDestination = NetlinkAttributeType(RTA_DST)
    static let routeGateway = NetlinkAttributeType(RTA_GATEWAY)
    static let routeLink = NetlinkAttributeType(RTA_OIF)
    static let routePriority = NetlinkAttributeType(RTA_PRIORITY)
    static let routeTable = NetlinkAttributeType(RTA_TABLE)
}
