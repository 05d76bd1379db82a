import Glibc
import HostNetwork
import NFTables
import NetworkTypes
import TestNetwork
import Testing

/// The tables of a mesh's two ends, by real packets: a pod of the cluster, the gateway, the remote, and a host behind the remote. In the place of
/// WireGuard is a plain wire.
@Suite struct MeshTableTests {
    private let pod: TestNamespace
    private let gateway: TestNamespace
    private let remote: TestNamespace
    private let behind: TestNamespace

    init() throws {
        pod = try TestNamespace("pod")
        gateway = try TestNamespace("gateway")
        remote = try TestNamespace("remote")
        behind = try TestNamespace("behind")
        try gateway.connect(to: pod, interfaces: ("eth0", "eth0"), addresses: ("10.244.1.5/24", "10.244.1.6/24"))
        try gateway.connect(to: remote, interfaces: ("mesh", "mesh"), addresses: ("10.7.0.1/30", "10.7.0.2/30"))
        try remote.connect(to: behind, interfaces: ("lan", "lan"), addresses: ("192.168.9.1/24", "192.168.9.2/24"))
        for router in [gateway, remote] { try router.execute("sysctl", "-q", "-w", "net.ipv4.ip_forward=1") }
        try remote.execute("ip", "route", "add", "10.244.0.0/16", "via", "10.7.0.1")
        // As far as a remote that was taken over can.
        try remote.execute("ip", "route", "add", "10.96.0.0/16", "via", "10.7.0.1")
        try gateway.execute("ip", "route", "add", "10.96.0.0/16", "via", "10.244.1.6")
        try pod.execute("ip", "addr", "add", "10.96.0.9/32", "dev", "eth0")
        try behind.execute("ip", "route", "add", "default", "via", "192.168.9.1")
        for (host, name) in [(pod, "pod"), (gateway, "gateway"), (remote, "remote"), (behind, "behind")] {
            for port in [80, 9000] {
                try host.start("socat", "TCP-LISTEN:\(port),fork,reuseaddr", "SYSTEM:echo \(name) to $SOCAT_PEERADDR")
                try host.start("socat", "UDP-LISTEN:\(port),fork,reuseaddr", "SYSTEM:read x && echo \(name) by UDP")
            }
        }
        try eventually { try self.ask(self.gateway, "10.7.0.2:9000") == "remote to 10.7.0.1\n" }
        try eventually { try self.ask(self.gateway, "10.244.1.6:80") == "pod to 10.244.1.5\n" }
        try eventually { try self.ask(self.remote, "192.168.9.2:80") == "behind to 192.168.9.1\n" }
        try eventually { try self.ask(self.pod, "10.244.1.5:80") == "gateway to 10.244.1.6\n" }
    }

    private func eventually(_ body: () throws -> Bool) throws {
        for _ in 0..<20 where (try? body()) != true { usleep(100_000) }
        #expect(try body())
    }

    private func ask(_ host: TestNamespace, _ address: String, _ transport: String = "TCP") throws -> String {
        // Who answers does not read, and a datagram must be sent.
        let words =
            transport == "TCP"
            ? "socat - TCP:\(address),connect-timeout=1 </dev/null" : "echo x | timeout 3 socat -t 1 - UDP:\(address)"
        return try host.execute("sh", "-c", words)
    }

    private func isRefused(_ host: TestNamespace, _ address: String) -> Bool {
        do {
            _ = try ask(host, address)
            return false
        } catch {
            return error is CommandFailure
        }
    }

    private func gatewayRules(_ networks: [String] = ["10.244.0.0/16"]) throws -> FixedRuleset {
        MeshRuleset(
            interface: "mesh",
            end: .gateway(
                remote: try IPv4Address(parsing: "10.7.0.2"), own: [.init(.tcp, try Port(80))],
                networks: try networks.map { try CIDR(parsing: $0) })
        ).ruleset
    }

    private func remoteRules(_ ports: [RemotePort.Key]?) -> FixedRuleset {
        MeshRuleset(interface: "mesh", end: .remote(ports: ports)).ruleset
    }

    @Test func `All ports but the gateway's own lead to the remote, and both sides stay hidden from each other`() throws {
        let (gateway, pod, remote) = (gateway, pod, remote)
        let rules = try gatewayRules()
        #expect(
            try gateway.inside { try FixedTable.apply(rules) }.map(\.description) == ["nftables: made table ip tidegate_mesh"])
        // What the kernel says of it reads as what was written.
        #expect(try gateway.inside { try FixedTable.apply(rules) } == [])
        let others = remoteRules(nil)
        #expect(try remote.inside { try FixedTable.apply(others) }.count == 1)
        #expect(try remote.inside { try FixedTable.apply(others) } == [])
        try eventually { try ask(pod, "10.244.1.5:9000") == "remote to 10.7.0.1\n" }
        try eventually { try ask(pod, "10.244.1.5:9000", "UDP") == "remote by UDP\n" }
        try eventually { try ask(pod, "10.244.1.5:80") == "gateway to 10.244.1.6\n" }
        try eventually { try ask(pod, "10.244.1.5:80", "UDP") == "remote by UDP\n" }
        try eventually { try ask(remote, "10.244.1.6:9000") == "pod to 10.244.1.5\n" }
        try remote.execute("ping", "-c", "1", "-W", "1", "10.244.1.6")
        // What the gateway itself asks for is not led anywhere.
        try eventually { try ask(gateway, "10.244.1.6:9000") == "pod to 10.244.1.5\n" }
        // Other networks are a change of the table.
        let wider = try gatewayRules(["10.244.0.0/16", "10.96.0.0/16"])
        #expect(isRefused(remote, "10.96.0.9:80"))
        #expect(try gateway.inside { try FixedTable.apply(wider) }.count == 1)
        try eventually { try ask(remote, "10.96.0.9:80") == "pod to 10.244.1.5\n" }
        #expect(try gateway.inside { try FixedTable.remove(MeshRuleset.table) }.count == 1)
        #expect(try gateway.inside { try FixedTable.remove(MeshRuleset.table) } == [])
    }

    @Test func `The remote reaches nothing of the gateway, and the cluster nothing behind the remote`() throws {
        let (gateway, pod, remote, behind) = (gateway, pod, remote, behind)
        let rules = try gatewayRules()
        let others = remoteRules([.init(.tcp, try Port(9000))])
        // Before.
        try pod.execute("ip", "route", "add", "192.168.9.0/24", "via", "10.244.1.5")
        try gateway.execute("ip", "route", "add", "192.168.9.0/24", "via", "10.7.0.2")
        try behind.execute("ip", "route", "add", "10.7.0.0/30", "via", "192.168.9.1")
        try eventually { try ask(gateway, "192.168.9.2:80") == "behind to 10.7.0.1\n" }
        try eventually { try ask(remote, "10.7.0.1:80") == "gateway to 10.7.0.2\n" }
        _ = try gateway.inside { try FixedTable.apply(rules) }
        _ = try remote.inside { try FixedTable.apply(others) }
        #expect(isRefused(gateway, "192.168.9.2:80"))
        #expect(isRefused(behind, "10.7.0.1:80"))
        #expect(isRefused(remote, "10.7.0.1:80"))
        #expect(isRefused(remote, "10.7.0.1:9000"))
        #expect(isRefused(remote, "10.244.1.5:80"))
        // Those that the remote allows.
        try eventually { try ask(pod, "10.244.1.5:9000") == "remote to 10.7.0.1\n" }
        #expect(isRefused(gateway, "10.7.0.2:80"))
        // The remote's own way to its neighbours is as it was.
        try eventually { try ask(remote, "192.168.9.2:80") == "behind to 192.168.9.1\n" }
    }

    /// As many ports as a document names, as many networks, and of the remote's own more than anybody lists.
    @Test func `The largest tables are taken, and read back as they were`() throws {
        let (gateway, remote) = (gateway, remote)
        let keys = try (1...RemotePort.most).map { RemotePort.Key($0 % 2 == 0 ? .tcp : .udp, try Port($0 + 30_000)) }
        let networks = try (0..<MeshBounds.mostNetworks).map { try CIDR(parsing: "10.\($0 + 100).0.0/16") }
        let rules = MeshRuleset(
            interface: "mesh",
            end: .gateway(remote: try IPv4Address(parsing: "10.7.0.2"), own: keys, networks: networks)
        ).ruleset
        let others = remoteRules(try (1...2_000).map { .init(.tcp, try Port($0)) })
        #expect(try gateway.inside { try FixedTable.apply(rules) }.count == 1)
        #expect(try gateway.inside { try FixedTable.apply(rules) } == [])
        #expect(try remote.inside { try FixedTable.apply(others) }.count == 1)
        #expect(try remote.inside { try FixedTable.apply(others) } == [])
    }
}
