import Glibc
import NetlinkMessages
public import NetworkTypes

/// The tables /proc/net/{tcp,tcp6,udp,udp6}, for kernels without socket diagnostics (proc(5)).
public enum SocketTable {
    /// The listening TCP sockets, or the UDP sockets with a port; lines that make no sense are passed over.
    public static func parse(_ text: String, transport: TransportProtocol) -> [BoundSocket] {
        text.split(separator: "\n").dropFirst().compactMap { line in
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard fields.count >= 10, let (address, port) = endpoint(fields[1]), let state = UInt8(fields[3], radix: 16),
                let uid = UInt32(fields[7]), let inode = UInt64(fields[9])
            else { return nil }
            guard transport == .udp || state == BoundSocket.listening else { return nil }
            return BoundSocket(
                transport: transport, address: address, port: port, isConnected: state == BoundSocket.established, uid: uid,
                inode: inode)
        }
    }

    /// `0100007F:1F90` is 127.0.0.1:8080: words of four bytes in the host's order, then the port.
    private static func endpoint(_ text: Substring) -> (IPAddress, Port)? {
        let parts = text.split(separator: ":")
        guard parts.count == 2, let number = UInt16(parts[1], radix: 16) else { return nil }
        var bytes: [UInt8] = []
        var rest = parts[0]
        while !rest.isEmpty {
            guard rest.utf8.count >= 8, let word = UInt32(rest.prefix(8), radix: 16) else { return nil }
            withUnsafeBytes(of: word) { bytes.append(contentsOf: $0) }
            rest = rest.dropFirst(8)
        }
        guard let address = IPAddress(bytes: bytes) else { return nil }
        do throws(InvalidValue) {
            return (address, try Port(number))
        } catch {
            return nil
        }
    }
}
