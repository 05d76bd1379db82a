import Glibc
import Netlink
import NetlinkMessages
import NetworkTypes
public import RouteNetlink
import Syscalls

/// Which sockets of this network namespace hold which ports, and whose they are.
public enum ListeningSockets {
    /// TCP sockets that listen and UDP sockets with a port, IPv4 and IPv6, every one that shares a port by SO_REUSEPORT.
    public static func read() throws(HostNetworkError) -> [BoundSocket] {
        var sockets: [BoundSocket] = []
        for transport in TransportProtocol.allCases {
            do throws(HostNetworkError) {
                sockets += try askKernel(transport)
            } catch {
                guard case .netlink(let netlink) = error, [ENOENT, EOPNOTSUPP, EPROTONOSUPPORT].contains(netlink.errno) else {
                    throw error
                }
                sockets += try readTables(transport)
            }
        }
        return sockets
    }

    private static func askKernel(_ transport: TransportProtocol) throws(HostNetworkError) -> [BoundSocket] {
        let socket = try openSocket(.socketDiagnostics)
        var sockets: [BoundSocket] = []
        for family in [AF_INET, AF_INET6] {
            sockets += try socket.read(BoundSocket.list(transport, family: family)) { reply throws(MalformedNetlink) in
                try BoundSocket(reply, transport: transport)
            }
        }
        return sockets
    }

    /// Bytes, of some 150 a socket.
    private static let tableLimit = 256 << 20

    /// For kernels without socket diagnostics, or whose module is gone since an update of the kernel's package.
    static func readTables(_ transport: TransportProtocol) throws(HostNetworkError) -> [BoundSocket] {
        var sockets: [BoundSocket] = []
        for table in transport == .tcp ? ["tcp", "tcp6"] : ["udp", "udp6"] {
            // Of the thread: /proc/net itself shows the namespace of the process's first thread.
            guard let text = try kernelFile("/proc/thread-self/net/\(table)", limit: tableLimit) else { continue }
            sockets += SocketTable.parse(text, transport: transport)
        }
        return sockets
    }

    /// The process of each socket, by inode. Those of other PID namespaces are not found, nor any without root.
    public static func owners(of sockets: [BoundSocket]) -> [UInt64: SocketOwner] {
        var owners: [UInt64: SocketOwner] = [:]
        for holder in holders(of: sockets) where owners[holder.inode] == nil {
            owners[holder.inode] = SocketOwner(pid: holder.pid, name: processName(holder.pid))
        }
        return owners
    }

    /// A socket as a process has it: which descriptor of which process, and the socket's inode.
    struct Holder {
        let pid: pid_t
        let descriptor: Int32
        let inode: UInt64
    }

    static func holders(of sockets: [BoundSocket]) -> [Holder] {
        var wanted: [String: UInt64] = [:]
        for socket in sockets where socket.inode != 0 { wanted["socket:[\(socket.inode)]"] = socket.inode }
        guard !wanted.isEmpty else { return [] }
        var holders: [Holder] = []
        for pid in numbers(in: "/proc") {
            for descriptor in numbers(in: "/proc/\(pid)/fd") {
                guard let inode = (try? readLink("/proc/\(pid)/fd/\(descriptor)")).flatMap({ wanted[$0] }) else { continue }
                holders.append(Holder(pid: pid, descriptor: descriptor, inode: inode))
            }
        }
        return holders
    }

    private static func processName(_ pid: pid_t) -> String {
        let text = (try? kernelFile("/proc/\(pid)/comm", limit: 4096)) ?? nil
        return printable(String((text ?? "").prefix { $0 != "\n" }), limit: 16)
    }

    /// The names in a folder of /proc that are numbers; none where it cannot be read.
    private static func numbers(in folder: String) -> [Int32] {
        ((try? namesInFolder(at: folder)) ?? []).compactMap { Int32($0) }
    }
}

/// A process that has a socket.
public struct SocketOwner: Hashable, Sendable, CustomStringConvertible {
    public let pid: Int32
    /// At most 15 bytes, as the kernel keeps it; safe to print. Empty when the process was gone before it could be read.
    public let name: String

    public init(pid: Int32, name: String) {
        self.pid = pid
        self.name = name
    }

    public var description: String { "\(name.isEmpty ? "?" : name) (pid \(pid))" }
}
