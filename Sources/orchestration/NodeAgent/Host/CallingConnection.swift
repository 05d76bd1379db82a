import CLinuxHeaders
import Glibc
import Syscalls

/// The SSH connection by which this command came.
///
/// A controller that dies together with its network closes nothing. sshd has the kernel look after a silent peer (`TCPKeepAlive`), but
/// that does so after two hours, for which the connection, its processes and what they wait for stay. This process is below sshd and
/// root, so it gives that one connection shorter times, for the rest of its life; sshd's configuration is the user's.
public enum CallingConnection {
    /// Seconds of silence until the kernel asks, and between two questions; after so many without an answer the connection ends.
    static let idle: Int32 = 20
    static let interval: Int32 = 10
    static let questions: Int32 = 3
    /// Seconds that what was sent may stay unacknowledged; without it the kernel goes on sending for a quarter of an hour.
    static let unacknowledged: Int32 = idle + interval * questions

    /// The processes of a connection to the OpenSSH or Dropbear server: `sshd`, `sshd-session` since 9.8, `dropbear`.
    private static let servers = ["sshd", "dropbear"]

    /// Does nothing where there is no such connection, or where this process may not (a container without CAP_SYS_PTRACE).
    public static func boundSilence() { boundSilence(above: getppid()) }

    static func boundSilence(above process: pid_t) {
        var process = process
        // sshd, a shell, sudo with a monitor of its own, a shell: a loop of parents there cannot be, but a limit costs nothing.
        for _ in 0..<16 where process > 1 {
            guard let status = try? readLine(of: "/proc/\(process)/status") else { return }
            let name = field("Name", of: status) ?? ""
            if servers.contains(where: { name.hasPrefix($0) }), bound(socketsOf: process) { return }
            guard let parent = field("PPid", of: status).flatMap({ pid_t($0) }) else { return }
            process = parent
        }
    }

    /// A line of `/proc/PID/status` (proc(5)).
    static func field(_ name: String, of status: String) -> String? {
        let line = status.split(separator: "\n").first { $0.hasPrefix(name + ":\t") }
        return line.map { String($0.dropFirst(name.utf8.count + 2)) }
    }

    /// - Returns: whether the process has a TCP connection.
    private static func bound(socketsOf process: pid_t) -> Bool {
        guard let handle = try? Descriptor("pidfd_open", { pidfd_open(process, 0) }) else { return false }
        var found = false
        let folder = "/proc/\(process)/fd"
        for name in (try? namesInFolder(folder)) ?? [] {
            guard let number = Int32(name), linkTarget(folder + "/" + name)?.hasPrefix("socket:") == true,
                let socket = try? Descriptor("pidfd_getfd", { pidfd_getfd(handle.number, number, 0) })
            else { continue }
            if isTCPConnection(socket) {
                found = true
                setTimes(socket)
            }
        }
        return found
    }

    private static func isTCPConnection(_ socket: Descriptor) -> Bool {
        var address = sockaddr_storage()
        var length = socklen_t(MemoryLayout<sockaddr_storage>.size)
        let isConnected = withUnsafeMutableBytes(of: &address) { bytes in
            getpeername(socket.number, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), &length) == 0
        }
        return isConnected && [AF_INET, AF_INET6].contains(Int32(address.ss_family))
            && socket.option(Int32(IPPROTO_TCP), TCP_KEEPIDLE, 0 as Int32) != nil
    }

    private static func setTimes(_ socket: Descriptor) {
        for (level, name, value) in [
            (SOL_SOCKET, SO_KEEPALIVE, 1), (Int32(IPPROTO_TCP), TCP_KEEPIDLE, idle),
            (Int32(IPPROTO_TCP), TCP_KEEPINTVL, interval),
            (Int32(IPPROTO_TCP), TCP_KEEPCNT, questions), (Int32(IPPROTO_TCP), TCP_USER_TIMEOUT, unacknowledged * 1000),
        ] { try? socket.setOption(level, name, value) }
    }
}
