import Glibc
import NetworkTypes
import Syscalls

/// Looking up the relay's name; getaddrinfo(3) blocks, for many seconds at worst.
enum NameResolver {
    /// Its addresses in the order of preference of the host (RFC 6724), one at least.
    static func resolve(_ host: HostAddress) throws(UplinkError) -> [IPAddress] {
        switch host {
        case .ip(let address): return [address]
        case .name(let name):
            let found: [SocketAddress]
            do throws(LookUpFailure) {
                found = try addresses(of: name, isDatagram: true, flags: AI_ADDRCONFIG)
            } catch {
                throw .relayUnresolvable(name: name, reason: error.reason)
            }
            var addresses: [IPAddress] = []
            for address in found.compactMap(\.ip) where !addresses.contains(address) { addresses.append(address) }
            return addresses
        }
    }
}
