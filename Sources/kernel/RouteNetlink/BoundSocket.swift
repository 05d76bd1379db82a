import CLinuxHeaders
import Glibc
public import NetlinkMessages
public import NetworkTypes

/// A socket that holds a port, and the messages that list them (NETLINK_SOCK_DIAG, sock_diag(7)).
///
/// Each socket is listed by itself: those that share a port by SO_REUSEPORT, too.
public struct BoundSocket: Hashable, Sendable {
    public let transport: TransportProtocol
    /// `::` holds the port for IPv4 too, unless the socket is IPv6 only.
    public let address: IPAddress
    public let port: Port
    /// Whether it is a UDP socket that hears one peer only.
    public let isConnected: Bool
    public let uid: UInt32
    /// Tells which process has it; the kernel's own sockets (WireGuard's) have one that no process has.
    public let inode: UInt64

    init(transport: TransportProtocol, address: IPAddress, port: Port, isConnected: Bool, uid: UInt32, inode: UInt64) {
        self.transport = transport
        self.address = address
        self.port = port
        self.isConnected = isConnected
        self.uid = uid
        self.inode = inode
    }

    /// States of include/net/tcp_states.h, which UDP borrows.
    static let established: UInt8 = 1
    static let closed: UInt8 = 7
    static let listening: UInt8 = 10

    /// For `dump` on a socket of the diagnostics family: TCP sockets that listen, or UDP sockets with a port.
    public static func list(_ transport: TransportProtocol, family: Int32) -> NetlinkMessage {
        var header = inet_diag_req_v2()
        header.sdiag_family = UInt8(family)
        switch transport {
        case .tcp:
            header.sdiag_protocol = UInt8(IPPROTO_TCP)
            header.idiag_states = 1 << UInt32(listening)
        case .udp:
            header.sdiag_protocol = UInt8(IPPROTO_UDP)
            header.idiag_states = 1 << UInt32(closed) | 1 << UInt32(established)
        }
        return NetlinkMessage(
            type: UInt16(SOCK_DIAG_BY_FAMILY), flags: [], header: header,
            description: "SOCK_DIAG_BY_FAMILY \(transport) \(family == AF_INET6 ? "IPv6" : "IPv4")")
    }

    /// - Returns: nil for a socket without a port.
    /// - Throws: `MalformedNetlink` when the answer is none to `list`.
    public init?(_ reply: NetlinkReply, transport: TransportProtocol) throws(MalformedNetlink) {
        let message = try reply.header(as: inet_diag_msg.self)
        let source = withUnsafeBytes(of: message.id.idiag_src) { Array($0) }
        let size = Int32(message.idiag_family) == AF_INET ? 4 : 16
        guard let address = IPAddress(bytes: source.prefix(size)) else { throw MalformedNetlink("a socket without an address") }
        do throws(InvalidValue) {
            port = try Port(UInt16(bigEndian: message.id.idiag_sport))
        } catch {
            return nil
        }
        self.transport = transport
        self.address = address
        isConnected = message.idiag_state == Self.established
        uid = message.idiag_uid
        inode = UInt64(message.idiag_inode)
    }
}
