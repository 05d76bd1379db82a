import HostNetwork
import NFTables
import NetworkTypes
import TestNetwork
import Testing

private func forwards(_ count: Int, target: String = "10.96.0.1") throws -> Forwards {
    let address = try IPv4Address(parsing: target)
    var forwards: Forwards = [:]
    for number in 1...count {
        let port = try Port(number)
        forwards[ForwardKey(number.isMultiple(of: 2) ? .tcp : .udp, port)] = ForwardTarget(address, port)
    }
    return forwards
}

private func ruleset(
    _ forwards: Forwards, _ spreads: Spreads = [:], bridge: UplinkRuleset.BridgeScope = .everyAddress,
    forwardsNothingElse: Bool = false
) throws -> UplinkRuleset {
    UplinkRuleset(
        interface: "wg-uplink", address: try IPv4Address(parsing: "10.200.0.2"), relay: try IPv4Address(parsing: "10.200.0.1"),
        bridge: bridge, forwardsNothingElse: forwardsNothingElse, forwards: forwards, spreads: spreads)
}

@Suite struct NATTableTests {
    @Test func nftReadsTheTableAsWeMeanIt() throws {
        let namespace = try TestNamespace("nft")
        let changes = try namespace.inside {
            let addresses = [try IPv4Address(parsing: "192.168.1.1")]
            return try NATTable().apply(ruleset(forwards(1), bridge: .addresses(addresses), forwardsNothingElse: true))
        }
        #expect(changes.map(\.description) == ["nftables: made table ip tidegate"])
        #expect(
            try namespace.execute("nft", "list", "ruleset") == """
                table ip tidegate {
                \tmap forwards {
                \t\ttype inet_proto . inet_service : ipv4_addr . inet_service
                \t\telements = { udp . 1 : 10.96.0.1 . 1 }
                \t}

                \tmap endpoints {
                \t\ttype inet_proto . inet_service . inet_service : ipv4_addr . inet_service
                \t}

                \tchain answers {
                \t\ttype filter hook prerouting priority mangle; policy accept;
                \t\tiifname != "wg-uplink" meta l4proto udp ct original ip daddr 10.200.0.2 ip frag-off set ip frag-off & 49151 comment "UDP answers may be fragmented"
                \t}

                \tchain prerouting {
                \t\ttype nat hook prerouting priority dstnat - 1; policy accept;
                \t\tiifname "wg-uplink" ip daddr 10.200.0.2 dnat ip to meta l4proto . th dport map @forwards comment "bindings"
                \t\tiifname "wg-uplink" ip daddr 10.200.0.2 dnat ip to meta l4proto . th dport . th sport & 126 map @endpoints comment "bindings to endpoints"
                \t\tiifname "wg-uplink" ip daddr 10.200.0.2 tcp dport 40500 accept comment "readiness"
                \t\tiifname "wg-uplink" ip daddr 10.200.0.2 meta l4proto icmp accept comment "ping"
                \t\tiifname "wg-uplink" drop comment "nothing else of the relay"
                \t\tiifname != "wg-uplink" ip daddr 192.168.1.1 tcp dport 40600 dnat to 10.200.0.1:40600 comment "Envoy's read-only bridge"
                \t}

                \tchain postrouting {
                \t\ttype nat hook postrouting priority srcnat; policy accept;
                \t\toifname != "wg-uplink" ct original ip daddr 10.200.0.2 masquerade comment "to the targets"
                \t\toifname "wg-uplink" ct status dnat masquerade comment "to the bridge"
                \t}

                \tchain forward {
                \t\ttype filter hook forward priority mangle; policy drop;
                \t\tiifname "wg-uplink" tcp flags syn / syn,rst tcp option maxseg size set rt mtu comment "MSS of the path"
                \t\toifname "wg-uplink" tcp flags syn / syn,rst tcp option maxseg size set rt mtu comment "MSS of the path"
                \t\tiifname "wg-uplink" oifname "wg-uplink" drop comment "never a target: the tunnel"
                \t\tiifname "wg-uplink" ip daddr 169.254.0.0/16 drop comment "never a target: link-local"
                \t\tiifname "wg-uplink" ip daddr 127.0.0.0/8 drop comment "never a target: loopback"
                \t\tiifname "wg-uplink" ip daddr 224.0.0.0/3 drop comment "never a target: multicast, reserved"
                \t\tiifname "wg-uplink" ct status dnat accept comment "bindings"
                \t\toifname "wg-uplink" ct status dnat accept comment "replies and the bridge"
                \t\tiifname "wg-uplink" drop comment "nothing else of the relay"
                \t\toifname "wg-uplink" drop comment "nothing else to the relay"
                \t}

                \tchain input {
                \t\ttype filter hook input priority filter; policy accept;
                \t\tiifname "wg-uplink" ct status dnat tcp dport 40500 drop comment "never a target: readiness"
                \t\tiifname "wg-uplink" ct status dnat tcp dport 40600 drop comment "never a target: the bridge"
                \t\tiifname "wg-uplink" ct status dnat accept comment "bindings to this host"
                \t\tiifname "wg-uplink" ct state established,related accept comment "answers"
                \t\tiifname "wg-uplink" tcp dport 40500 accept comment "readiness"
                \t\tiifname "wg-uplink" meta l4proto icmp accept comment "ping"
                \t\tiifname "wg-uplink" drop comment "nothing else of the relay"
                \t\tiifname != "wg-uplink" iifname != "lo" ip daddr 10.200.0.2 drop comment "the tunnel address is reached through the tunnel only"
                \t}
                }

                """)
    }

    @Test func aSecondApplyChangesNothing() throws {
        let namespace = try TestNamespace("nft")
        try namespace.inside {
            let table = try NATTable()
            let wanted = try ruleset(forwards(4))
            #expect(try table.apply(wanted).map(\.description) == ["nftables: made table ip tidegate"])
            #expect(try table.apply(wanted) == [])
            // Started anew after a kill: what is there is recognised from what the kernel says alone.
            #expect(try NATTable().apply(wanted) == [])
            #expect(try NATTable().forwardsNothingElse() == false)
            #expect(try NATTable().apply(ruleset(forwards(4), forwardsNothingElse: true)).count == 1)
            #expect(try NATTable().forwardsNothingElse())
        }
    }

    @Test func fiveThousandElementsAreUpdatedInOneTransaction() throws {
        let namespace = try TestNamespace("nft")
        let changes = try namespace.inside {
            let table = try NATTable()
            var all = try forwards(5000)
            _ = try table.apply(ruleset(all))
            all[ForwardKey(.tcp, try Port(2500))] = ForwardTarget(try IPv4Address(parsing: "10.96.9.9"), try Port(9))
            all[ForwardKey(.tcp, try Port(60000))] = ForwardTarget(try IPv4Address(parsing: "10.96.9.9"), try Port(10))
            all[ForwardKey(.udp, try Port(1))] = nil
            let changes = try table.apply(ruleset(all))
            #expect(try NATTable().apply(ruleset(all)) == [])
            return changes
        }
        #expect(changes.map(\.description) == ["nftables: map forwards: 1 added, 1 changed, 1 removed"])
        let listed = try namespace.execute("nft", "list", "map", "ip", "tidegate", "forwards")
        #expect(listed.contains("tcp . 2500 : 10.96.9.9 . 9"))
        #expect(!listed.contains("udp . 1 :"))
        #expect(listed.split(separator: "\n").count { $0.contains(" . ") } >= 5000)
    }

    @Test(arguments: [
        "flush ruleset",
        "flush table ip tidegate",
        "flush map ip tidegate forwards",
        "add rule ip tidegate forward accept",
        "insert rule ip tidegate input accept",
        "add chain ip tidegate more { type filter hook input priority 5; }",
        "add set ip tidegate more { type ipv4_addr; }",
        "chain ip tidegate input { policy drop; }",
        "add table ip tidegate { flags dormant; }",
        "add element ip tidegate forwards { tcp . 9 : 10.1.1.1 . 9 }",
        "add element ip tidegate forwards { sctp . 9 : 10.1.1.1 . 9 }",
        "delete element ip tidegate forwards { tcp . 2 }",
        "flush map ip tidegate endpoints",
        "delete element ip tidegate endpoints { tcp . 7 . 126 }",
        "add element ip tidegate endpoints { tcp . 7 . 125 : 10.1.1.1 . 9 }",
    ])
    func whatSomebodyElseDidIsPutRight(command: String) throws {
        let namespace = try TestNamespace("nft")
        try namespace.execute("nft", "add table inet other; add chain inet other keep { type filter hook input priority 0; }")
        let endpoints = try (1...3).map { ForwardTarget(try IPv4Address(parsing: "10.244.0.\($0)"), try Port(9)) }
        let wanted = try ruleset(forwards(4), [ForwardKey(.tcp, try Port(7)): endpoints])
        try namespace.inside {
            let table = try NATTable()
            _ = try table.apply(wanted)
            let before = try namespace.execute("nft", "list", "table", "ip", "tidegate")
            try namespace.execute("nft", command)
            #expect(try namespace.execute("nft", "list", "ruleset").contains(before) == false)
            #expect(try table.apply(wanted).count == 1)
            #expect(try namespace.execute("nft", "list", "table", "ip", "tidegate") == before)
            #expect(try namespace.execute("nft", "list", "ruleset").contains("table inet other") == (command != "flush ruleset"))
            #expect(try table.apply(wanted) == [])
        }
    }

    @Test func aChangedRuleIsPutRight() throws {
        let namespace = try TestNamespace("nft")
        let wanted = try ruleset(forwards(4))
        try namespace.inside {
            let table = try NATTable()
            _ = try table.apply(wanted)
            let listed = try namespace.execute("nft", "-a", "list", "chain", "ip", "tidegate", "forward")
            let line = try #require(listed.split(separator: "\n").first { $0.contains("nothing else of the relay") })
            let handle = try #require(line.split(separator: " ").last)
            try namespace.execute("nft", "replace rule ip tidegate forward handle \(handle) iifname \"wg-uplinx\" drop")
            #expect(
                try table.apply(wanted).map(\.description) == [
                    "nftables: put table ip tidegate in place anew, since rule \"nothing else of the relay\" of chain forward differed"
                ])
            #expect(try table.apply(wanted) == [])
        }
    }

    @Test func chainsOfOthersThatDropAreNamed() throws {
        let namespace = try TestNamespace("nft")
        try namespace.execute(
            "nft", "add table ip filter; add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }")
        try namespace.execute(
            "nft", "add table inet fw; add chain inet fw in { type filter hook input priority 0; policy drop; }")
        try namespace.execute(
            "nft", "add table inet fw; add chain inet fw f { type filter hook forward priority 0; policy accept; }")
        let names = try namespace.inside {
            let table = try NATTable()
            _ = try table.apply(ruleset(forwards(1), forwardsNothingElse: true))
            return try table.foreignForwardDrops()
        }
        #expect(names == ["filter FORWARD"])
    }

    @Test func removalLeavesOtherTables() throws {
        let namespace = try TestNamespace("nft")
        try namespace.execute("nft", "add table ip other")
        try namespace.inside {
            let table = try NATTable()
            _ = try table.apply(ruleset(forwards(4)))
            #expect(try table.remove().map(\.description) == ["nftables: removed table ip tidegate"])
            #expect(try table.remove() == [])
            #expect(try namespace.execute("nft", "list", "ruleset") == "table ip other {\n}\n")
            #expect(try table.apply(ruleset(forwards(4))).map(\.description) == ["nftables: made table ip tidegate"])
        }
    }
}
