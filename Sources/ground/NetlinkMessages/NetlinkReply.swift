import CLinuxHeaders

/// One message from the kernel.
public struct NetlinkReply: Sendable {
    public let type: UInt16
    public let flags: NetlinkFlags
    public let sequence: UInt32
    /// What follows the netlink header: the family's header and the attributes.
    public let body: ArraySlice<UInt8>

    /// Everything in one datagram.
    /// - Throws: `MalformedNetlink` when a message is shorter than its header (zero too) or longer than what is left.
    public static func parse(_ datagram: ArraySlice<UInt8>) throws(MalformedNetlink) -> [NetlinkReply] {
        var replies: [NetlinkReply] = []
        var rest = datagram
        while rest.count >= NetlinkMessage.headerLength {
            let length = Int(rest.hostInteger(at: 0, as: UInt32.self))
            guard length >= NetlinkMessage.headerLength, length <= rest.count else {
                throw MalformedNetlink("a message says it is \(length) bytes long where \(rest.count) are left")
            }
            replies.append(
                NetlinkReply(
                    type: rest.hostInteger(at: 4, as: UInt16.self),
                    flags: NetlinkFlags(rawValue: rest.hostInteger(at: 6, as: UInt16.self)),
                    sequence: rest.hostInteger(at: 8, as: UInt32.self),
                    body: rest.prefix(length).dropFirst(NetlinkMessage.headerLength)))
            rest = rest.dropFirst((length + 3) & ~3)
        }
        return replies
    }

    /// The family's header as its C structure.
    public func header<Header: BitwiseCopyable>(as type: Header.Type) throws(MalformedNetlink) -> Header {
        try body.structure(as: type, what: "message \(self.type)")
    }

    /// The attributes after a family header of that C structure.
    public func attributes<Header: BitwiseCopyable>(after header: Header.Type) throws(MalformedNetlink) -> ParsedAttributes {
        let length = (MemoryLayout<Header>.size + 3) & ~3
        guard body.count >= length else {
            throw MalformedNetlink("message \(type) has \(body.count) bytes where \(Header.self) has \(length)")
        }
        return try ParsedAttributes(parsing: body.dropFirst(length))
    }

    /// What this message says about the request itself; nil for one that carries data.
    public func verdict() throws(MalformedNetlink) -> NetlinkVerdict? {
        switch type {
        case UInt16(NLMSG_NOOP): return .nothing
        case UInt16(NLMSG_OVERRUN): throw MalformedNetlink("the kernel lost data (NLMSG_OVERRUN)")
        case UInt16(NLMSG_DONE):
            // The error of a failed dump stands in it as a negative errno.
            guard body.count >= 4 else { return .done(errno: 0, message: nil) }
            let code = body.hostInteger(at: 0, as: Int32.self)
            let message = code == 0 ? nil : try Self.acknowledgementMessage(in: body.dropFirst(4), flags: flags)
            return .done(errno: Self.positive(code), message: message)
        case UInt16(NLMSG_ERROR):
            // errno, the request's header, the request's body unless capped, attributes.
            guard body.count >= 4 + NetlinkMessage.headerLength else {
                throw MalformedNetlink("an error message of \(body.count) bytes")
            }
            let code = body.hostInteger(at: 0, as: Int32.self)
            var rest = body.dropFirst(4)
            let repeated = flags.contains(.capped) ? NetlinkMessage.headerLength : Int(rest.hostInteger(at: 0, as: UInt32.self))
            rest = rest.dropFirst(repeated.addingAlignment)
            return .acknowledged(errno: Self.positive(code), message: try Self.acknowledgementMessage(in: rest, flags: flags))
        default: return nil
        }
    }

    private static func positive(_ code: Int32) -> Int32 { code == .min ? .max : abs(code) }

    private static func acknowledgementMessage(
        in bytes: ArraySlice<UInt8>, flags: NetlinkFlags
    ) throws(MalformedNetlink) -> String? {
        guard flags.contains(.acknowledgementAttributes) else { return nil }
        return try ParsedAttributes(parsing: bytes)[NetlinkAttributeType(NLMSGERR_ATTR_MSG)]?.string
    }
}

/// How the kernel ended a request.
public enum NetlinkVerdict: Hashable, Sendable {
    /// `errno` zero is success.
    case acknowledged(errno: Int32, message: String?)
    /// The end of a multi-part answer.
    case done(errno: Int32, message: String?)
    case nothing
}

extension Int {
    fileprivate var addingAlignment: Int { (self + 3) & ~3 }
}
