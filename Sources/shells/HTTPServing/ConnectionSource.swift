public import NIOCore
public import NetworkTypes

/// Whom a connection is counted for: an IPv4 address, or the /64 of an IPv6 one, which a host may fill with addresses of its own.
public enum ConnectionSource: Hashable, Sendable {
    case v4(UInt32)
    case v6(UInt64)
    case unknown

    public init(_ address: SocketAddress?) {
        switch address {
        case .v4(let v4):
            // `sin_addr` of `sockaddr_in` (ip(7)).
            self = withUnsafeBytes(of: v4.address) {
                .v4(UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: 4, as: UInt32.self)))
            }
        case .v6(let v6):
            self = withUnsafeBytes(of: v6.address) { bytes in
                // `sin6_addr` of `sockaddr_in6` (ipv6(7)).
                let address = UnsafeRawBufferPointer(rebasing: bytes[8..<24])
                // ::ffff:a.b.c.d (RFC 4291, section 2.5.5.2): IPv4 on a socket of both.
                if address.prefix(10).allSatisfy({ $0 == 0 }), address[10] == 0xFF, address[11] == 0xFF {
                    return .v4(UInt32(bigEndian: address.loadUnaligned(fromByteOffset: 12, as: UInt32.self)))
                }
                return .v6(UInt64(bigEndian: address.loadUnaligned(as: UInt64.self)))
            }
        default: self = .unknown
        }
    }

    public init(_ address: IPv4Address) { self = .v4(address.number) }
}
