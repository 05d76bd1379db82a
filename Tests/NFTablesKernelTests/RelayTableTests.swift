import Glibc
import HostNetwork
import NFTables
import NetworkTypes
import TestNetwork
import Testing

private func eventually(_ body: () throws -> Bool) throws {
    for _ in 0..<50 {
        if (try? body()) == true { return }
        usleep(100_000)
    }
    #expect(try body())
}

/// `nobody` of Debian, in the place of Envoy's user.
private let envoy: UInt32 = 65534

private func wanted() throws -> RelayRuleset {
    RelayRuleset(
        interface: "wg-relay", address: try IPv4Address(parsing: "10.200.0.1"), network: try CIDR(parsing: "10.200.0.0/24"),
        envoyUser: envoy)
}

/// Who may send into the tunnel of a VPS. An uplink, and a neighbour on the VPS's segment that also plays a container of it.
@Suite struct RelayTableTests {
    private let relay: TestNamespace
    private let uplink: TestNamespace
    private let neighbour: TestNamespace

    init() throws {
        relay = try TestNamespace("relay")
        uplink = try TestNamespace("uplink")
        neighbour = try TestNamespace("near")
        try relay.connect(to: uplink, interfaces: ("wg-relay", "wg-uplink"), addresses: ("10.200.0.1/24", "10.200.0.2/24"))
        try relay.connect(to: neighbour, interfaces: ("eth0", "eth0"), addresses: ("198.18.5.1/24", "198.18.5.2/24"))
        try neighbour.execute("ip", "route", "add", "10.200.0.0/24", "via", "198.18.5.1")
        try relay.execute("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        try uplink.execute("ip", "route", "add", "198.18.5.0/24", "via", "10.200.0.1")
        try uplink.start("socat", "TCP-LISTEN:7443,fork,reuseaddr", "SYSTEM:echo backend")
        try relay.start("socat", "TCP-LISTEN:40600,bind=10.200.0.1,fork,reuseaddr", "SYSTEM:echo bridge")
        try eventually { try self.ask(self.relay, "10.200.0.2:7443") == "backend\n" }
        try eventually { try self.ask(self.uplink, "10.200.0.1:40600") == "bridge\n" }
    }

    private func ask(_ namespace: TestNamespace, _ address: String, user: UInt32 = 0) throws -> String {
        try namespace.execute(
            "setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "sh", "-c",
            "socat - TCP:\(address),connect-timeout=1 </dev/null")
    }

    @Test func nobodyButEnvoyAndRootSendsIntoTheTunnel() throws {
        let (relay, uplink, neighbour) = (relay, uplink, neighbour)
        // Before: every user, and every neighbour or container that routes here.
        #expect(try ask(relay, "10.200.0.2:7443", user: 1234) == "backend\n")
        #expect(try ask(neighbour, "10.200.0.2:7443") == "backend\n")
        #expect(try ask(neighbour, "10.200.0.1:40600") == "bridge\n")
        #expect(
            try relay.inside { try FixedTable.apply(wanted().ruleset) }.map(\.description) == [
                "nftables: made table ip tidegate_relay"
            ])
        #expect(try relay.inside { try FixedTable.apply(wanted().ruleset) } == [])
        for (who, address, user) in [
            (relay, "10.200.0.2:7443", UInt32(1234)), (relay, "10.200.0.1:40600", 1234), (neighbour, "10.200.0.2:7443", 0),
            (neighbour, "10.200.0.1:40600", 0),
        ] {
            #expect(throws: CommandFailure.self, "\(address) by \(user)") { try ask(who, address, user: user) }
        }
        // Masqueraded or not, a container's packets are forwarded.
        try relay.execute(
            "nft",
            "add table ip other; add chain ip other post { type nat hook postrouting priority 100; }; "
                + "add rule ip other post masquerade"
        )
        #expect(throws: CommandFailure.self) { try ask(neighbour, "10.200.0.2:7443") }
        // Envoy, the agent, and the uplinks to the bridge.
        #expect(try ask(relay, "10.200.0.2:7443", user: envoy) == "backend\n")
        #expect(try ask(relay, "10.200.0.2:7443") == "backend\n")
        #expect(try ask(uplink, "10.200.0.1:40600") == "bridge\n")
        try uplink.execute("ping", "-c", "1", "-W", "1", "10.200.0.1")
        // Everything else of the host is as it was.
        #expect(throws: CommandFailure.self) { try uplink.execute("ping", "-c", "1", "-W", "1", "198.18.5.2") }
        try neighbour.execute("ping", "-c", "1", "-W", "1", "198.18.5.1")
    }

    /// Connections to the addresses of links are Envoy's, root's and the link program's; its answers pass to whoever asked.
    @Test(arguments: ["TCP", "UDP"]) func nobodyButEnvoyTheLinkProgramAndRootSendsIntoLinks(transport: String) throws {
        let (relay, neighbour) = (relay, neighbour)
        let (linkUser, backend) = (UInt32(4321), "127.88.0.2:7443")
        let limit = transport == "TCP" ? ",connect-timeout=1" : ""
        try relay.execute("ip", "link", "set", "lo", "up")
        try relay.start(
            "setpriv", "--reuid=\(linkUser)", "--regid=\(linkUser)", "--clear-groups", "socat",
            "\(transport)-LISTEN:7443,bind=127.88.0.2,fork,reuseaddr", "SYSTEM:echo link")
        func ask(_ user: UInt32) throws -> String {
            try relay.execute(
                "setpriv", "--reuid=\(user)", "--regid=\(user)", "--clear-groups", "sh", "-c",
                "echo x | timeout 3 socat -t 1 - \(transport):\(backend)\(limit)")
        }
        try eventually { try ask(1234) == "link\n" }
        // A neighbour reaches loopback addresses where the host lets it (route_localnet).
        try relay.execute("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1")
        try neighbour.execute("ip", "route", "add", "127.88.0.0/16", "via", "198.18.5.1")
        try neighbour.execute("sysctl", "-q", "-w", "net.ipv4.conf.all.route_localnet=1")
        let wanted = RelayRuleset(
            interface: "wg-relay", address: try IPv4Address(parsing: "10.200.0.1"), network: try CIDR(parsing: "10.200.0.0/24"),
            envoyUser: envoy, links: .init(network: try CIDR(parsing: "127.88.0.0/16"), user: linkUser))
        #expect(try relay.inside { try FixedTable.apply(wanted.ruleset) }.count == 1)
        #expect(try relay.inside { try FixedTable.apply(wanted.ruleset) } == [])
        for user in [envoy, linkUser, 0] { try eventually { try ask(user) == "link\n" } }
        #expect((try? ask(1234)) != "link\n")
        let rules = try relay.execute("nft", "list", "table", "ip", "tidegate_relay")
        #expect(rules.contains("ip daddr 127.88.0.0/16 meta skuid != 0 meta skuid != \(envoy) meta skuid != \(linkUser) drop"))
        #expect(rules.contains("iifname != \"lo\" ip daddr 127.88.0.0/16 drop"))
        // Without links there are no such rules.
        #expect(try relay.inside { try FixedTable.apply(RelayRuleset.withoutLinks(wanted).ruleset) }.count == 1)
        try eventually { try ask(1234) == "link\n" }
    }

    @Test func driftIsPutRightAndOthersRulesStay() throws {
        let relay = relay
        _ = try relay.inside { try FixedTable.apply(wanted().ruleset) }
        try relay.execute("nft", "add", "table", "ip", "other")
        let whole = try relay.execute("nft", "list", "ruleset")
        #expect(whole.contains("ip daddr 10.200.0.0/24 meta skuid != 0 meta skuid != \(envoy) drop"))
        for drift in [
            "flush chain ip tidegate_relay output", "delete chain ip tidegate_relay input",
            "add rule ip tidegate_relay output accept",
            "insert rule ip tidegate_relay forward accept", "add set ip tidegate_relay s { type ipv4_addr; }",
        ] {
            try relay.execute("nft", drift)
            let changes = try relay.inside { try FixedTable.apply(wanted().ruleset) }
            #expect(changes.count == 1 && changes[0].description.contains("in place anew"), "\(drift): \(changes)")
            #expect(
                try relay.execute("nft", "list", "ruleset").split(separator: "\n").sorted()
                    == whole.split(separator: "\n").sorted())
        }
        try relay.execute("nft", "delete", "table", "ip", "tidegate_relay")
        #expect(
            try relay.inside { try FixedTable.apply(wanted().ruleset) }.map(\.description) == [
                "nftables: made table ip tidegate_relay"
            ])
        #expect(
            try relay.inside { try FixedTable.remove(RelayRuleset.table) }.map(\.description) == [
                "nftables: removed table ip tidegate_relay"
            ])
        #expect(try relay.inside { try FixedTable.remove(RelayRuleset.table) } == [])
        #expect(try relay.execute("nft", "list", "ruleset") == "table ip other {\n}\n")
    }
}

extension RelayRuleset {
    fileprivate static func withoutLinks(_ ruleset: RelayRuleset) -> RelayRuleset {
        var ruleset = ruleset
        ruleset.links = nil
        return ruleset
    }
}
