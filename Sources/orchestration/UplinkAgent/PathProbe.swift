import CLinuxHeaders
import Glibc
import NetworkTypes
import Syscalls

/// A datagram to the relay's discard port (RFC 863). Nothing listens there, so the relay's kernel answers ICMP "port unreachable",
/// which a connected socket shows. No failure matters: each is an answer that does not come.
final class PathProbe: Sendable {
    /// Bytes of the headers of IPv4 and UDP.
    static let headers = 28
    private static let discard: UInt16 = 9

    private let socket: Descriptor

    init?(to relay: IPv4Address) {
        guard let socket = try? Descriptor.socket(AF_INET, isDatagram: true) else { return nil }
        self.socket = socket
        // Not to be fragmented, and no belief in what was learned of the path before (ip(7)).
        try? socket.setOption(Int32(IPPROTO_IP), IP_MTU_DISCOVER, IP_PMTUDISC_PROBE)
        try? socket.connect(to: SocketAddress(.v4(relay), portNumber: Self.discard))
    }

    /// - Parameter bytes: of its content.
    func send(_ bytes: Int) { _ = try? socket.send([UInt8](repeating: 0, count: max(0, bytes))) }

    var hasArrived: Bool {
        var byte: [UInt8] = [0]
        do throws(SystemFailure) {
            _ = try socket.receive(into: &byte)
            return false
        } catch {
            return error.code == ECONNREFUSED
        }
    }
}
