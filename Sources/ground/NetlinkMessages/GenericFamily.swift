import CLinuxHeaders

/// A generic netlink family: a kernel service known by name, numbered when it registers (linux/genetlink.h).
public struct GenericFamily: Hashable, Sendable {
    public let name: String
    /// The message type of its requests.
    public let number: UInt16

    public init(name: String, number: UInt16) {
        self.name = name
        self.number = number
    }

    /// Answered with the family's number, or ENOENT when the kernel does not have it; asking loads its module.
    public static func resolve(_ name: String) -> NetlinkMessage {
        NetlinkMessage(
            type: UInt16(GENL_ID_CTRL), flags: [], header: genlmsghdr(cmd: UInt8(CTRL_CMD_GETFAMILY), version: 1, reserved: 0),
            attributes: NetlinkAttributes { $0.put(NetlinkAttributeType(CTRL_ATTR_FAMILY_NAME), string: name) },
            description: "CTRL_CMD_GETFAMILY \(name)")
    }

    /// - Throws: `MalformedNetlink` when the answer is none to `resolve`.
    public init(_ reply: NetlinkReply) throws(MalformedNetlink) {
        let attributes = try reply.attributes(after: genlmsghdr.self)
        guard let name = attributes[NetlinkAttributeType(CTRL_ATTR_FAMILY_NAME)]?.string,
            let number = try attributes[NetlinkAttributeType(CTRL_ATTR_FAMILY_ID)]?.u16()
        else { throw MalformedNetlink("a generic family without name or number") }
        self.name = name
        self.number = number
    }

    /// One of the family's commands.
    public func message(
        _ command: UInt8, version: UInt8 = 1, flags: NetlinkFlags = [], attributes: NetlinkAttributes, description: String
    ) -> NetlinkMessage {
        NetlinkMessage(
            type: number, flags: flags, header: genlmsghdr(cmd: command, version: version, reserved: 0), attributes: attributes,
            description: description)
    }
}
