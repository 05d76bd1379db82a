import CLinuxHeaders
import Glibc
import NetworkTypes

/// A datagram to the relay's discard port (RFC 863). Nothing listens there, so the relay's kernel answers ICMP "port unreachable",
/// which a connected socket shows. No failure matters: each is an answer that does not come.
final class PathProbe: Sendable {
    /// Bytes of the headers of IPv4 and UDP.
    static let headers = 28
    private static let discard: UInt16 = 9

    private let descriptor: Int32

    init?(to relay: IPv4Address) {
        descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        // Not to be fragmented, and no belief in what was learned of the path before (ip(7)).
        var mode = IP_PMTUDISC_PROBE
        setsockopt(descriptor, Int32(IPPROTO_IP), IP_MTU_DISCOVER, &mode, socklen_t(MemoryLayout.size(ofValue: mode)))
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = Self.discard.bigEndian
        target.sin_addr.s_addr = relay.number.bigEndian
        withUnsafePointer(to: &target) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                _ = connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }

    /// - Parameter bytes: of its content.
    func send(_ bytes: Int) {
        let content = [UInt8](repeating: 0, count: max(0, bytes))
        _ = Glibc.send(descriptor, content, content.count, Int32(MSG_DONTWAIT))
    }

    var hasArrived: Bool {
        var byte: UInt8 = 0
        return recv(descriptor, &byte, 1, Int32(MSG_DONTWAIT)) < 0 && errno == ECONNREFUSED
    }

    deinit { close(descriptor) }
}
