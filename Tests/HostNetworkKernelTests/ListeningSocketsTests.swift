import Glibc
import NetworkTypes
import RouteNetlink
import TestNetwork
import Testing

@testable import HostNetwork

@Suite struct ListeningSocketsTests {
    /// A socket bound to `port` of every address, as a squatter with SO_REUSEPORT has it.
    private static func bound(_ family: Int32, _ type: UInt32, port: UInt16) throws -> Int32 {
        let descriptor = socket(family, Int32(type), 0)
        var on: Int32 = 1
        try #require(setsockopt(descriptor, SOL_SOCKET, SO_REUSEPORT, &on, 4) == 0)
        var result: Int32
        if family == AF_INET {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_port = port.bigEndian
            result = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, 16) }
            }
        } else {
            var address = sockaddr_in6()
            address.sin6_family = sa_family_t(AF_INET6)
            address.sin6_port = port.bigEndian
            result = withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(descriptor, $0, 28) }
            }
        }
        if type == SOCK_STREAM.rawValue, result == 0 { result = listen(descriptor, 1) }
        try #require(result == 0)
        return descriptor
    }

    @Test func seesEverySocketOfAPortAndItsProcess() throws {
        let namespace = try TestNamespace("kernel")
        let (sockets, owners, tables) = try namespace.inside {
            let descriptors = [
                try Self.bound(AF_INET, SOCK_STREAM.rawValue, port: 8443),
                try Self.bound(AF_INET, SOCK_STREAM.rawValue, port: 8443),
                try Self.bound(AF_INET6, SOCK_STREAM.rawValue, port: 8444),
                try Self.bound(AF_INET6, SOCK_DGRAM.rawValue, port: 53),
                try Self.bound(AF_INET, SOCK_DGRAM.rawValue, port: 53),
            ]
            defer { for descriptor in descriptors { close(descriptor) } }
            let sockets = try ListeningSockets.read()
            let tables = try TransportProtocol.allCases.flatMap { try ListeningSockets.readTables($0) }
            return (sockets, ListeningSockets.owners(of: sockets), tables)
        }
        let described = sockets.map { "\($0.transport) \($0.address) \($0.port)" }.sorted()
        #expect(described == ["TCP 0.0.0.0 8443", "TCP 0.0.0.0 8443", "TCP :: 8444", "UDP 0.0.0.0 53", "UDP :: 53"])
        #expect(Set(sockets.map(\.inode)).count == 5)
        #expect(owners.count == 5)
        #expect(owners.values.allSatisfy { $0.pid == getpid() })
        // Where the kernel cannot be asked, its tables say the same.
        #expect(Set(tables) == Set(sockets))
    }
}
