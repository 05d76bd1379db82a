import Foundation
import Glibc
import NIOCore
import NIOPosix
import NetworkTypes
import NodeDocument
import Synchronization
import Syscalls
import TestNetwork
import TestPrograms
import Testing

@testable import UplinkAgent

/// What the tunnel brings for a host by name or IPv6.
@Suite struct HostRelayTests {
    private let group = MultiThreadedEventLoopGroup.singleton

    private func host(_ name: String, _ port: NetworkTypes.Port, _ transport: TransportProtocol = .tcp) throws -> RelayedHost {
        RelayedHost(
            host: try HostAddress(parsing: name), port: port, transport: transport, policy: TargetPolicy(), network: nil,
            edge: try HostAddress(parsing: "203.0.113.10"))
    }

    /// A resolver that knows names by heart; what it says of them is judged as ever.
    private func resolver(_ names: [String: [String]]) -> HostResolver {
        HostResolver(threads: .singleton) { (name) throws(LookUpFailure) in
            guard let found = names[name] else { throw LookUpFailure(reason: "Name or service not known") }
            return found.compactMap { IPAddress($0) }.map { Syscalls.SocketAddress($0, port: NetworkTypes.Port.ssh) }
        }
    }

    @Test(arguments: [
        ("metadata.example", "link-local"), ("own.example", "the VPS itself"), ("loop.example", "loopback"),
        ("six.example", "loopback"),
        ("none.example", "Name or service not known"),
    ])
    func whatNoTargetMayBeIsNoneByAnyName(name: String, words: String) async throws {
        let resolver = resolver([
            "metadata.example": ["169.254.169.254"], "own.example": ["203.0.113.10"], "loop.example": ["127.0.0.1"],
            "six.example": ["::1", "::ffff:127.0.0.1"],
        ])
        let error = await #expect(throws: HostResolver.Failure.self) {
            _ = try await resolver.addresses(of: host(name, NetworkTypes.Port.ssh), on: group.next()).get()
        }
        #expect(error?.description.contains(words) == true, "\(String(describing: error))")
    }

    /// Of several addresses those that may be targets are tried, and the operator's lists count.
    @Test func theOthersOfItsAddressesAreTried() async throws {
        let resolver = resolver(["db.example": ["127.0.0.1", "10.1.2.3", "192.0.2.7", "2001:db8::1"]])
        var host = try host("db.example", NetworkTypes.Port.ssh)
        let all = try await resolver.addresses(of: host, on: group.next()).get()
        #expect(all.map(\.description) == ["10.1.2.3", "192.0.2.7", "2001:db8::1"])
        host.policy = TargetPolicy(denied: [try CIDR(parsing: "10.0.0.0/8")])
        #expect(try await resolver.addresses(of: host, on: group.next()).get().map(\.description) == ["192.0.2.7"])
    }

    /// A crowd of connections looks a name up once.
    @Test func aNameIsLookedUpOnceInAWhile() async throws {
        let asked = Count()
        let resolver = HostResolver(threads: .singleton) { (_) throws(LookUpFailure) in
            asked.add()
            usleep(50_000)
            return [Syscalls.SocketAddress(.v4(IPv4Address(number: 0x0A01_0203)), port: NetworkTypes.Port.ssh)]
        }
        let host = try host("db.example", NetworkTypes.Port.ssh)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for _ in 0..<200 { tasks.addTask { _ = try await resolver.addresses(of: host, on: group.next()).get() } }
            try await tasks.waitForAll()
        }
        #expect(asked.value == 1)
    }

    /// Through a real tunnel: by a name of the uplink's hosts file, and by IPv6.
    @Test func connectionsOfTheTunnelReachHosts() throws {
        let lab = try TunnelLab()
        try lab.serve("a", at: TunnelLab.firstTarget)
        try lab.backend.start("socat", "TCP6-LISTEN:8081,fork,reuseaddr,ipv6only", "SYSTEM:echo six; exec cat")
        try lab.backend.start("socat", "-b", "65536", "UDP4-LISTEN:5354,fork", "PIPE")
        try lab.backend.execute("ip", "address", "add", "fd00:96::1/64", "dev", "lan", "nodad")
        try lab.uplink.execute("ip", "address", "add", "fd00:96::2/64", "dev", "lan", "nodad")
        let folder = "/etc/netns/\(lab.uplink.name)"
        try run("mkdir", "-p", folder)
        defer { _ = try? run("rm", "-rf", folder) }
        try run("sh", "-c", "printf '%s db.example\\n127.0.0.1 loop.example\\n' \(TunnelLab.firstTarget) > \(folder)/hosts")
        func forward(_ name: String, _ transport: TransportProtocol, _ port: Int, _ host: String, _ to: Int) throws -> Forward {
            Forward(
                binding: name, protocol: transport, tunnelPort: try NetworkTypes.Port(port), host: try HostAddress(parsing: host),
                port: try NetworkTypes.Port(to))
        }
        try lab.write([
            forward("named", .tcp, 80, "db.example", 8080), forward("six", .tcp, 81, "fd00:96::1", 8081),
            forward("datagrams", .udp, 53, "db.example", 5354), forward("loop", .tcp, 82, "loop.example", 8080),
            forward("nobody", .tcp, 83, "nobody.example", 80), forward("closed", .tcp, 84, "db.example", 9),
            lab.forward("plain", .tcp, 85, to: TunnelLab.firstTarget, 8080),
        ])
        let uplink = try lab.startUplink("--drain", "1s")
        try eventually { try lab.ready() == "ready\n200" }
        for _ in 0..<20 {
            #expect(try lab.tcp(80).hasSuffix("\nhello\n"), "whoever ends before the host is reached is answered")
            #expect(try lab.tcp(81) == "six\nhello\n")
        }
        #expect(try lab.tcp(85).hasSuffix("\nhello\n"))
        let large =
            "head -c 1048576 /dev/zero | socat -t5 -T10 - TCP:\(TunnelLab.uplinkAddress):80 | wc -c"
        #expect(Int(try lab.relay.execute("sh", "-c", large).trimmingCharacters(in: .whitespacesAndNewlines)) ?? 0 > 1_048_576)
        let datagram =
            "head -c 9000 /dev/zero | socat -b 65536 -t2 - UDP:\(TunnelLab.uplinkAddress):53 | wc -c"
        try eventually { try lab.relay.execute("sh", "-c", datagram).trimmingCharacters(in: .whitespacesAndNewlines) == "9000" }
        for port in [82, 83, 84] { #expect((try? lab.tcp(port)) ?? "" == "", "port \(port) leads nowhere") }
        try eventually {
            let told = Dictionary(uniqueKeysWithValues: try lab.status().targets.map { ($0.binding, $0) })
            return told["named"]?.reachable == true && told["six"]?.reachable == true && told["closed"]?.reachable == false
                && told["nobody"]?.message?.contains("cannot be looked up") == true
                && told["loop"]?.message?.contains("loopback") == true
        }
        uplink.terminate()
        uplink.waitUntilExit()
        #expect(uplink.terminationStatus == 0)
    }
}

/// A count from any thread.
private final class Count: Sendable {
    private let count = Mutex(0)
    var value: Int { count.withLock { $0 } }
    func add() { count.withLock { $0 += 1 } }
}
