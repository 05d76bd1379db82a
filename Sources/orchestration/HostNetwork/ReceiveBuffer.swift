import CLinuxHeaders
import Glibc
import RouteNetlink
import Syscalls

/// What a socket keeps of packets until its process reads them.
///
/// Debian's wireguard-go (0.0.20220316) leaves its sockets net.core.rmem_default, 208 KiB: some 280 short packets, each of
/// which is accounted with 768 bytes. A burst of more is dropped, datagrams of UDP bindings with it.
enum ReceiveBuffer {
    /// Bytes: what wireguard-go itself asks for since 2023 (`socketBufferSize` of its conn/controlfns.go).
    static let wanted: Int32 = 7 << 20

    /// Widens the buffers of sockets that other processes have, where it may: that takes the rights of a debugger, which a
    /// container under a seccomp filter does not have. Without them they stay as they are, and only bursts suffer.
    static func widen(_ sockets: [BoundSocket]) {
        for holder in ListeningSockets.holders(of: sockets) {
            withSocket(of: holder) { socket in
                // The kernel says the double of what is asked for, its own accounting included (socket(7)).
                guard socket.option(SOL_SOCKET, SO_RCVBUF, 0 as Int32) ?? 0 < 2 * wanted else { return }
                // The forced option goes beyond net.core.rmem_max.
                do throws(SystemFailure) {
                    try socket.setOption(SOL_SOCKET, SO_RCVBUFFORCE, wanted)
                } catch {
                    try? socket.setOption(SOL_SOCKET, SO_RCVBUF, wanted)
                }
            }
        }
    }

    /// Does nothing where the socket cannot be had.
    private static func withSocket(of holder: ListeningSockets.Holder, _ body: (Descriptor) -> Void) {
        guard let process = try? Descriptor("pidfd_open", { pidfd_open(holder.pid, 0) }),
            let socket = try? Descriptor("pidfd_getfd", { pidfd_getfd(process.number, holder.descriptor, 0) }),
            // Its process may have closed it meanwhile, and opened something else.
            let found = try? socket.status(), UInt64(found.st_ino) == holder.inode
        else { return }
        body(socket)
    }
}
