import CLinuxHeaders
public import NetlinkMessages
import NetworkTypes

/// An address on an interface, and the messages that read and change it.
public struct InterfaceAddress: Hashable, Sendable {
    public let prefix: IPPrefix
    public let link: UInt32

    public init(_ prefix: IPPrefix, on link: UInt32) {
        self.prefix = prefix
        self.link = link
    }

    /// - Throws: `MalformedNetlink` when the answer is none to `list`.
    public init(_ reply: NetlinkReply) throws(MalformedNetlink) {
        let header = try reply.header(as: ifaddrmsg.self)
        let attributes = try reply.attributes(after: ifaddrmsg.self)
        // Of IPv4 the own address is IFA_LOCAL, and IFA_ADDRESS the peer's; IPv6 mostly has IFA_ADDRESS alone.
        guard let bytes = (attributes[.addressLocal] ?? attributes[.address])?.payload,
            let address = IPAddress(bytes: bytes), address.family == header.ifa_family
        else { throw MalformedNetlink("an interface address without an address") }
        do throws(InvalidValue) {
            prefix = try IPPrefix(address, length: Int(header.ifa_prefixlen))
        } catch {
            throw MalformedNetlink("\(error)")
        }
        link = header.ifa_index
    }

    /// For `dump`: every address of the namespace, both families.
    public static func list() -> NetlinkMessage {
        NetlinkMessage(type: UInt16(RTM_GETADDR), flags: [], header: ifaddrmsg(), description: "RTM_GETADDR (all)")
    }

    /// EEXIST when the interface has it.
    public func add(linkName: InterfaceName) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_NEWADDR), flags: [.create, .exclusive], header: header(), attributes: attributes(),
            description: "RTM_NEWADDR \(prefix) on \(linkName)")
    }

    /// EADDRNOTAVAIL when the interface does not have it.
    public func delete(linkName: InterfaceName) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(RTM_DELADDR), flags: [], header: header(), attributes: attributes(),
            description: "RTM_DELADDR \(prefix) on \(linkName)")
    }

    private func header() -> ifaddrmsg {
        ifaddrmsg(
            ifa_family: prefix.address.family, ifa_prefixlen: UInt8(prefix.length), ifa_flags: 0,
            ifa_scope: UInt8(RT_SCOPE_UNIVERSE.rawValue), ifa_index: link)
    }

    private func attributes() -> NetlinkAttributes {
        NetlinkAttributes { attributes in
            attributes.put(.addressLocal, bytes: prefix.address.bytes)
            attributes.put(.address, bytes: prefix.address.bytes)
        }
    }
}

extension NetlinkAttributeType {
    static let address = NetlinkAttributeType(IFA_ADDRESS)
    static let addressLocal = NetlinkAttributeType(IFA_LOCAL)
}
