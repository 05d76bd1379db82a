import Glibc
import Netlink
import NetlinkMessages
import NetworkTypes
import RouteNetlink

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

    /// For kernels without socket diagnostics, or whose module is gone since an update of the kernel's package.
    static func readTables(_ transport: TransportProtocol) throws(HostNetworkError) -> [BoundSocket] {
        var sockets: [BoundSocket] = []
        for table in transport == .tcp ? ["tcp", "tcp6"] : ["udp", "udp6"] {
            // Of the thread: /proc/net itself shows the namespace of the process's first thread.
            guard let text = try contents("/proc/thread-self/net/\(table)") else { continue }
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
        for pid in entries(of: "/proc").compactMap({ pid_t($0) }) {
            for descriptor in entries(of: "/proc/\(pid)/fd").compactMap({ Int32($0) }) {
                guard let inode = linkTarget("/proc/\(pid)/fd/\(descriptor)").flatMap({ wanted[$0] }) else { continue }
                holders.append(Holder(pid: pid, descriptor: descriptor, inode: inode))
            }
        }
        return holders
    }

    private static func processName(_ pid: pid_t) -> String {
        let text: String?
        do { text = try contents("/proc/\(pid)/comm") } catch { text = nil }
        return printable(String((text ?? "").prefix { $0 != "\n" }), limit: 16)
    }

    private static func entries(of folder: String) -> [String] {
        guard let handle = opendir(folder) else { return [] }
        defer { closedir(handle) }
        var names: [String] = []
        while let entry = readdir(handle) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            names.append(name)
        }
        return names
    }

    private static func linkTarget(_ path: String) -> String? {
        var buffer = [CChar](repeating: 0, count: 64)
        let count = readlink(path, &buffer, buffer.count)
        guard count > 0 else { return nil }
        return String(decoding: buffer.prefix(count).map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// - Returns: nil when there is no such file.
    private static func contents(_ path: String) throws(HostNetworkError) -> String? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw .system(attempt: "open \(path)", errno: errno)
        }
        defer { close(descriptor) }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: 65536)
        while true {
            let count = Glibc.read(descriptor, &buffer, buffer.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw .system(attempt: "read \(path)", errno: errno)
            }
            if count == 0 { return String(decoding: bytes, as: UTF8.self) }
            bytes += buffer.prefix(count)
        }
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
