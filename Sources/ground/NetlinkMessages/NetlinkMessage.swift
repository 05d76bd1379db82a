import CLinuxHeaders
import Sodium

/// A request to the kernel as a value; the socket gives it its sequence number.
public struct NetlinkMessage: Equatable, Sendable, CustomStringConvertible {
    /// `nlmsg_type`: `RTM_*`, a generic family's number, or `(subsystem << 8) | NFT_MSG_*`.
    public let type: UInt16
    public let flags: NetlinkFlags
    /// The family's fixed header (`ifinfomsg`, `genlmsghdr`, `nfgenmsg`, …).
    public let header: [UInt8]
    public let attributes: NetlinkAttributes
    /// What the message is about, for errors and reports: `RTM_NEWADDR 10.200.0.1/24 on wg-relay`. Never holds a secret.
    public let description: String

    /// `.request` is always added to `flags`.
    public init(
        type: UInt16, flags: NetlinkFlags, header: [UInt8], attributes: NetlinkAttributes = NetlinkAttributes(),
        description: String
    ) {
        self.type = type
        self.flags = flags.union(.request)
        self.header = header
        self.attributes = attributes
        self.description = description
    }

    /// As above, with the family's header as its C structure (one without padding).
    public init<Header: BitwiseCopyable>(
        type: UInt16, flags: NetlinkFlags, header: Header, attributes: NetlinkAttributes = NetlinkAttributes(),
        description: String
    ) {
        let bytes = withUnsafeBytes(of: header) { Array($0) }
        self.init(type: type, flags: flags, header: bytes, attributes: attributes, description: description)
    }

    /// `NLMSG_HDRLEN` of linux/netlink.h.
    static let headerLength = 16

    /// The message as the kernel reads it, padded to four bytes.
    /// - Parameter port: the sender's netlink port; zero lets the kernel fill it in.
    ///
    /// Secrets stand in it in the clear: the caller zeroes it after use when `attributes.holdsSecret`.
    /// - Throws: `MalformedNetlink` when an attribute is longer than 65,535 bytes.
    public func encoded(sequence: UInt32, port: UInt32 = 0) throws(MalformedNetlink) -> [UInt8] {
        if let overlong = attributes.overlong {
            throw MalformedNetlink("\(self): attribute \(overlong) is longer than the 65,535 bytes that fit")
        }
        let paddedHeader = (header.count + 3) & ~3
        let length = Self.headerLength + paddedHeader + attributes.bytes.count
        var bytes: [UInt8] = []
        bytes.reserveCapacity(length)
        func append(_ value: some FixedWidthInteger) { withUnsafeBytes(of: value) { bytes.append(contentsOf: $0) } }
        append(UInt32(length))
        append(type)
        append(flags.rawValue)
        append(sequence)
        append(port)
        bytes.append(contentsOf: header)
        bytes.append(contentsOf: repeatElement(0, count: paddedHeader - header.count))
        attributes.encode(into: &bytes)
        return bytes
    }
}

/// `nlmsg_flags` of linux/netlink.h; some bits mean different things for get, new and reply messages.
public struct NetlinkFlags: OptionSet, Hashable, Sendable {
    public let rawValue: UInt16
    public init(rawValue: UInt16) { self.rawValue = rawValue }
    private init(_ flag: Int32) { rawValue = UInt16(truncatingIfNeeded: flag) }

    public static let request = NetlinkFlags(NLM_F_REQUEST)
    /// More messages of the same answer follow, until NLMSG_DONE.
    public static let multipart = NetlinkFlags(NLM_F_MULTI)
    /// Ask for an answer when there is no error too.
    public static let acknowledge = NetlinkFlags(NLM_F_ACK)
    public static let echo = NetlinkFlags(NLM_F_ECHO)
    /// The kernel's tables changed while it dumped them: the answer may be inconsistent.
    public static let dumpInterrupted = NetlinkFlags(NLM_F_DUMP_INTR)

    /// Get: every object (`NLM_F_ROOT | NLM_F_MATCH`).
    public static let dump = NetlinkFlags(NLM_F_ROOT | NLM_F_MATCH)

    /// New: replace what exists.
    public static let replace = NetlinkFlags(NLM_F_REPLACE)
    /// New: fail with EEXIST when it exists.
    public static let exclusive = NetlinkFlags(NLM_F_EXCL)
    /// New: make it when it does not exist.
    public static let create = NetlinkFlags(NLM_F_CREATE)
    /// New: put it after its like.
    public static let append = NetlinkFlags(NLM_F_APPEND)

    /// Error reply: the request is not repeated in it.
    static let capped = NetlinkFlags(NLM_F_CAPPED)
    /// Error reply: extended-acknowledgement attributes follow.
    static let acknowledgementAttributes = NetlinkFlags(NLM_F_ACK_TLVS)
}

extension NetlinkMessage {
    /// The same request with more flags.
    public func adding(_ flags: NetlinkFlags) -> NetlinkMessage {
        NetlinkMessage(
            type: type, flags: self.flags.union(flags), header: header, attributes: attributes, description: description)
    }
}
