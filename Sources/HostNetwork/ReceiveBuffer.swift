import CLinuxHeaders
import Glibc
import RouteNetlink

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
                guard length(of: socket) < 2 * wanted else { return }
                var bytes = wanted
                let size = socklen_t(MemoryLayout<Int32>.size)
                // The forced option goes beyond net.core.rmem_max.
                if setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, size) != 0 {
                    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, size)
                }
            }
        }
    }

    private static func length(of socket: Int32) -> Int32 {
        var bytes: Int32 = 0
        var size = socklen_t(MemoryLayout<Int32>.size)
        return getsockopt(socket, SOL_SOCKET, SO_RCVBUF, &bytes, &size) == 0 ? bytes : 0
    }

    /// Does nothing where the socket cannot be had.
    private static func withSocket(of holder: ListeningSockets.Holder, _ body: (Int32) -> Void) {
        let process = pidfd_open(holder.pid, 0)
        guard process >= 0 else { return }
        defer { close(process) }
        let socket = pidfd_getfd(process, holder.descriptor, 0)
        guard socket >= 0 else { return }
        defer { close(socket) }
        // Its process may have closed it meanwhile, and opened something else.
        var found = stat()
        guard fstat(socket, &found) == 0, UInt64(found.st_ino) == holder.inode else { return }
        body(socket)
    }
}
