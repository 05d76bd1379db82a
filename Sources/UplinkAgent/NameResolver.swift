import Glibc
import NetworkTypes

/// Looking up the relay's name; getaddrinfo(3) blocks, for many seconds at worst.
enum NameResolver {
    /// Its addresses in the order of preference of the host (RFC 6724), one at least.
    static func resolve(_ host: HostAddress) throws(UplinkError) -> [IPAddress] {
        switch host {
        case .ip(let address): return [address]
        case .name(let name):
            var hints = addrinfo()
            hints.ai_family = AF_UNSPEC
            hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
            hints.ai_flags = AI_ADDRCONFIG
            var list: UnsafeMutablePointer<addrinfo>?
            let result = getaddrinfo(name, nil, &hints, &list)
            guard result == 0 else { throw .relayUnresolvable(name: name, reason: String(cString: gai_strerror(result))) }
            defer { freeaddrinfo(list) }
            var addresses: [IPAddress] = []
            var entry = list
            while let current = entry {
                if let address = address(of: current.pointee), !addresses.contains(address) { addresses.append(address) }
                entry = current.pointee.ai_next
            }
            guard !addresses.isEmpty else { throw .relayUnresolvable(name: name, reason: "it has no address") }
            return addresses
        }
    }

    private static func address(of entry: addrinfo) -> IPAddress? {
        guard let socket = UnsafeRawPointer(entry.ai_addr) else { return nil }
        switch entry.ai_family {
        case AF_INET:
            let address = socket.loadUnaligned(as: sockaddr_in.self).sin_addr
            return withUnsafeBytes(of: address) { IPv4Address(bytes: $0) }.map(IPAddress.v4)
        case AF_INET6:
            let address = socket.loadUnaligned(as: sockaddr_in6.self).sin6_addr
            return withUnsafeBytes(of: address) { IPv6Address(bytes: $0) }.map(IPAddress.v6)
        default: return nil
        }
    }
}
