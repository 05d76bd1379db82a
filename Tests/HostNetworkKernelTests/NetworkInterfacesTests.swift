import NetlinkMessages
import NetworkTypes
import TestNetwork
import Testing

@testable import HostNetwork

@Suite struct NetworkInterfacesTests {
    private static func pair() throws -> (TestNamespace, TestNamespace) {
        let (a, b) = (try TestNamespace("kernel"), try TestNamespace("kernel"))
        try a.connect(to: b, interfaces: ("v0", "v0"), addresses: ("10.1.0.1/24", "10.1.0.2/24"))
        return (a, b)
    }

    private static func settle(_ namespace: TestNamespace, _ addresses: [String], mtu: UInt32, _ routes: [String]) throws
        -> [String]
    {
        try namespace.inside {
            try NetworkInterfaces().settle(
                try InterfaceName(parsing: "v0"), addresses: try addresses.map { try IPPrefix(parsing: $0) }, mtu: mtu,
                routes: try routes.map { try CIDR(parsing: $0) }
            ).map(\.description)
        }
    }

    @Test func settlesOnceAndThenHasNothingToDo() throws {
        let (a, b) = try Self.pair()
        let addresses = ["10.1.0.1/24", "10.200.0.1/24", "fd00:7::1/64"]
        let routes = ["10.96.0.0/12", "10.200.0.0/24"]
        let changes = try Self.settle(a, addresses, mtu: 1420, routes)
        #expect(
            changes == [
                "v0: MTU 1420 (was 1500)", "v0: address 10.200.0.1/24 added", "v0: address fd00:7::1/64 added",
                "v0: route to 10.96.0.0/12 added",
            ])
        #expect(try Self.settle(a, addresses, mtu: 1420, routes).isEmpty)
        #expect(try a.execute("ip", "route").contains("10.96.0.0/12 dev v0 proto static scope link"))
        #expect(try a.execute("ip", "link", "show", "v0").contains("mtu 1420"))
        _ = b
    }

    @Test func repairsDrift() throws {
        let (a, b) = try Self.pair()
        _ = try Self.settle(a, ["10.200.0.1/24"], mtu: 1420, ["10.96.0.0/12"])
        try a.execute("ip", "address", "add", "10.66.0.1/24", "dev", "v0")
        try a.execute("ip", "address", "del", "10.200.0.1/24", "dev", "v0")
        try a.execute("ip", "route", "add", "10.77.0.0/16", "dev", "v0", "proto", "static")
        try a.execute("ip", "route", "del", "10.96.0.0/12")
        try a.execute("ip", "link", "set", "v0", "mtu", "1400")
        #expect(
            try Self.settle(a, ["10.200.0.1/24"], mtu: 1420, ["10.96.0.0/12"]) == [
                "v0: MTU 1420 (was 1400)", "v0: address 10.200.0.1/24 added", "v0: address 10.66.0.1/24 removed",
                "v0: route to 10.96.0.0/12 added", "v0: route to 10.77.0.0/16 removed",
            ])
        try a.execute("ip", "link", "set", "v0", "down")
        #expect(
            try Self.settle(a, ["10.200.0.1/24"], mtu: 1420, ["10.96.0.0/12"]) == ["v0: up", "v0: route to 10.96.0.0/12 added"])
        _ = b
    }

    @Test func namesTheInterfaceThatHasTheRoute() throws {
        let (a, b) = try Self.pair()
        try a.execute("ip", "link", "add", "v8", "type", "veth", "peer", "name", "v9")
        try a.execute("ip", "link", "set", "v9", "up")
        try a.execute("ip", "route", "add", "10.96.0.0/12", "dev", "v9")
        let error = #expect(throws: HostNetworkError.self) { try Self.settle(a, ["10.1.0.1/24"], mtu: 1500, ["10.96.0.0/12"]) }
        #expect("\(try #require(error))".contains("a route to 10.96.0.0/12 already leads through interface v9"))
        _ = b
    }

    @Test func findsTheInterfacesOfTheDefaultRoute() throws {
        let (a, b) = try Self.pair()
        try a.execute("ip", "route", "add", "default", "via", "10.1.0.2")
        let names = try a.inside { try NetworkInterfaces().withDefaultRoute() }
        #expect(names.map(\.description) == ["v0"])
        #expect(try b.inside { try NetworkInterfaces().withDefaultRoute() }.isEmpty)
    }

    @Test func turnsOffloadsOffAndOnAgain() throws {
        let (a, b) = try Self.pair()
        try a.execute("ethtool", "-K", "v0", "gro", "on")
        let (off, second) = try a.inside {
            let name = try InterfaceName(parsing: "v0")
            let offloads = try DeviceOffloads()
            return (try offloads.disable(on: name), try offloads.disable(on: name))
        }
        #expect(off.contains("rx-gro") && off.contains("tx-tcp-segmentation") && off.contains("tx-generic-segmentation"))
        #expect(second.isEmpty)
        let listed = try a.execute("ethtool", "-k", "v0")
        #expect(listed.contains("generic-receive-offload: off") && listed.contains("\ttx-tcp6-segmentation: off"))
        #expect(listed.contains("tx-checksum-ip-generic: on"))
        try a.inside { try DeviceOffloads().enable(off, on: try InterfaceName(parsing: "v0")) }
        #expect(try a.execute("ethtool", "-k", "v0").contains("generic-receive-offload: on"))
        _ = b
    }

    @Test func changesASettingOfItsNamespaceOnly() throws {
        let (a, b) = try Self.pair()
        let key = try SysctlKey(parsing: "net.ipv4.ip_forward")
        let before = try a.inside { try Sysctl.read(key) }
        let wanted = before == "1" ? "0" : "1"
        let change = try a.inside { try Sysctl.set(key, to: wanted) }
        #expect(change?.description == "net.ipv4.ip_forward \(wanted) (was \(try #require(before)))")
        #expect(try a.inside { try Sysctl.set(key, to: wanted) } == nil)
        #expect(try b.inside { try Sysctl.read(key) } == before)
    }

    /// A list is written as the kernel shows it, and an empty one empties it.
    @Test func changesAListOfPorts() throws {
        let (a, _) = try Self.pair()
        let key = try SysctlKey(parsing: "net.ipv4.ip_local_reserved_ports")
        for value in ["30000-30001,40000", ""] {
            #expect(try a.inside { try Sysctl.set(key, to: value) } != nil)
            #expect(try a.inside { try Sysctl.read(key) } == value)
        }
        let range = try SysctlKey(parsing: "net.ipv4.ip_local_port_range")
        #expect(try a.inside { try Sysctl.set(range, to: "10240 65535") } != nil)
        #expect(try a.inside { try Sysctl.set(range, to: "10240 65535") } == nil)
    }
}
