import Glibc
public import NIOCore
import NIOPosix

/// How the TCP connection under a link is set.
public enum LinkSocket {
    /// Bytes that may wait in this process for the socket: enough to keep it busy, little enough that a small answer is not long
    /// behind them.
    static let waterMark = ChannelOptions.Types.WriteBufferWaterMark(low: 64 << 10, high: 256 << 10)

    /// What a TCP connection gets.
    static let options: [(ChannelOptions.Types.SocketOption, ChannelOptions.Types.SocketOption.Value)] = [
        (.init(level: .tcp, name: .tcp_nodelay), 1),
        (.init(level: .socket, name: .so_keepalive), 1),
        // linux/tcp.h: bytes that the kernel takes beyond what it sends now. The rest waits where small answers pass it.
        (.init(level: .tcp, name: NIOBSDSocket.Option(rawValue: CInt(TCP_NOTSENT_LOWAT))), 128 << 10),
        // linux/tcp.h, milliseconds: what the peer did not acknowledge for so long ends the connection.
        (.init(level: .tcp, name: NIOBSDSocket.Option(rawValue: CInt(TCP_USER_TIMEOUT))), 20_000),
    ]

    /// Bytes of a segment on a narrow path: with its headers less than 1,280, which every link of IPv6 carries (RFC 8200, section 5).
    private static let narrowSegment = 1_200

    /// Sets up the channel of a socket that was accepted or is about to be connected.
    /// - Parameter isNarrow: before it is connected, it keeps the segments of both sides short.
    public static func setUp(_ channel: any Channel, isNarrow: Bool = false) throws {
        guard let set = channel.syncOptions else { return }
        let segment = ChannelOptions.Types.SocketOption(level: .tcp, name: NIOBSDSocket.Option(rawValue: TCP_MAXSEG))
        if isNarrow { try set.setOption(segment, value: narrowSegment) }
        // A unix socket, from sshd or Envoy, knows none of these.
        if channel.localAddress?.pathname == nil {
            for (option, value) in options { try set.setOption(option, value: value) }
        }
        try set.setOption(.writeBufferWaterMark, value: waterMark)
        let buffers = AdaptiveRecvByteBufferAllocator(minimum: 4096, initial: 16 << 10, maximum: 128 << 10)
        try set.setOption(.recvAllocator, value: buffers)
    }
}
