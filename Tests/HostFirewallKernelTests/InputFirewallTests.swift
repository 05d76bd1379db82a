import HostFirewall
import HostNetwork
import NetworkTypes
import TestNetwork
import Testing

/// What the firewalls of others do to a port, as it is found in the kernel's own words for their rules.
@Suite struct InputFirewallTests {
    /// The ports of 22/TCP, 443/TCP, 53/UDP and 51821/UDP over IPv4 that are dropped.
    private func dropped(_ namespace: TestNamespace, _ family: InboundPacket.Family = .v4) throws -> [String] {
        let ports: [(TransportProtocol, Int)] = [(.tcp, 22), (.tcp, 443), (.udp, 53), (.udp, 51821)]
        let packets = try ports.map { InboundPacket(family, $0.0, try Port($0.1)) }
        let drops = try namespace.inside { try InputFirewall.drops(of: packets) }
        return packets.compactMap { drops[$0] == nil ? nil : "\($0.port)/\($0.transport)" }
    }

    private func remedy(_ namespace: TestNamespace, _ family: InboundPacket.Family = .v4) throws -> String? {
        let packet = InboundPacket(family, .tcp, try Port(443))
        return try namespace.inside { try InputFirewall.drops(of: [packet])[packet]?.remedy }
    }

    private static let all = ["22/TCP", "443/TCP", "53/UDP", "51821/UDP"]
    private static let allBut22 = ["443/TCP", "53/UDP", "51821/UDP"]

    @Test(arguments: [
        ("policy accept;", []),
        ("policy drop;", all),
        ("policy drop; ct state established,related accept; iif lo accept; tcp dport 22 accept", allBut22),
        ("policy drop; ct state vmap { established : accept, related : accept, invalid : drop }; tcp dport 22 accept", allBut22),
        ("policy drop; ct state new tcp dport { 22, 80-443 } accept", ["53/UDP", "51821/UDP"]),
        ("policy drop; meta l4proto { tcp, udp } th dport { 22, 53 } accept", ["443/TCP", "51821/UDP"]),
        ("policy drop; tcp dport vmap { 22 : accept, 443 : drop }; udp dport 50000-60000 accept", ["443/TCP", "53/UDP"]),
        ("policy drop; ip saddr 192.0.2.0/24 accept; ip saddr { 192.0.2.1, 198.51.100.7 } accept", all),
        ("policy drop; ip saddr != 192.0.2.0/24 tcp dport 443 accept", ["22/TCP", "53/UDP", "51821/UDP"]),
        ("policy accept; tcp dport 443 reject with tcp reset; udp dport != 53 drop", ["443/TCP", "51821/UDP"]),
        ("policy accept; iifname \"lo\" drop; ip saddr @nobody drop", []),
        ("policy drop; ct state vmap { established : accept, new : jump web }", ["22/TCP", "53/UDP", "51821/UDP"]),
        ("policy accept; ct state { invalid, new } drop", all),
        // What cannot be known is not claimed.
        ("policy drop; tcp dport . ip saddr { 443 . 192.0.2.1 } accept", ["53/UDP", "51821/UDP"]),
        ("policy drop; ct mark 7 accept", []),
        ("policy drop; iifname \"eth0\" accept", []),
        ("policy drop; ip daddr 192.0.2.1 tcp dport 443 accept", ["22/TCP", "53/UDP", "51821/UDP"]),
        ("policy drop; limit rate 10/second accept", []),
        ("policy drop; meta mark 7 accept", []),
        ("policy accept; limit rate over 10/second drop; drop", all),
        ("policy drop; tcp sport 443 tcp dport 443 accept; ip saddr 192.0.2.1 ip daddr 192.0.2.2 accept", all),
        ("policy accept; jump web; drop", ["22/TCP", "53/UDP", "51821/UDP"]),
        ("policy accept; goto web; drop", []),
        ("policy drop; counter log prefix \"in\" jump web", ["22/TCP", "53/UDP", "51821/UDP"]),
    ])
    func readsTheRulesOfNft(rules: String, expected: [String]) throws {
        let namespace = try TestNamespace("fw")
        let body = rules.split(separator: ";").dropFirst().joined(separator: "\n")
        let policy = rules.prefix { $0 != ";" }
        try namespace.nft(
            """
            table inet filter {
              set nobody { type ipv4_addr; elements = { 192.0.2.9 }; }
              chain web { tcp dport 80 accept; tcp dport 443 accept; udp dport 1 drop; return; }
              chain input { type filter hook input priority filter; \(policy);
                \(body)
              }
            }
            """)
        #expect(try dropped(namespace) == expected)
    }

    @Test func eachChainOnTheHookHasItsSay() throws {
        let namespace = try TestNamespace("fw")
        #expect(try dropped(namespace) == [])
        try namespace.nft("table ip a { chain first { type filter hook input priority -10; policy accept; accept; }; }")
        try namespace.nft(
            "table ip b { chain second { type filter hook input priority 10; policy drop; tcp dport 22 accept; }; }")
        try namespace.nft("table ip6 c { chain third { type filter hook input priority 0; policy drop; }; }")
        #expect(try dropped(namespace) == Self.allBut22)
        #expect(try remedy(namespace) == "nft insert rule ip b second tcp dport 443 accept")
        #expect(try dropped(namespace, .v6) == Self.all)
        #expect(try remedy(namespace, .v6) == "nft insert rule ip6 c third tcp dport 443 accept")
        // What is advised helps.
        try namespace.execute("nft", "insert", "rule", "ip", "b", "second", "tcp", "dport", "443", "accept")
        #expect(try dropped(namespace) == ["53/UDP", "51821/UDP"])
    }

    @Test func readsTheRulesOfIptables() throws {
        let namespace = try TestNamespace("fw")
        func add(_ rule: String) throws {
            try namespace.execute(["iptables-nft", "-A", "INPUT"] + rule.split(separator: " ").map(String.init))
        }
        try namespace.execute("iptables-nft", "-P", "INPUT", "DROP")
        try add("-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT")
        try add("-i lo -j ACCEPT")
        try add("-s 192.0.2.0/24 -p tcp --dport 443 -j ACCEPT")
        try add("-p tcp -m multiport --dports 20:22,80 -m comment --comment ssh -j ACCEPT")
        #expect(try dropped(namespace) == Self.allBut22)
        #expect(try remedy(namespace) == "iptables -I INPUT -p tcp --dport 443 -j ACCEPT")
        try add("-p udp -m udp --dport 50:60 -m conntrack --ctstate NEW -j ACCEPT")
        try add("-p tcp -m tcp --dport 443 --syn -j ACCEPT")
        #expect(try dropped(namespace) == ["51821/UDP"])
        try add("-m limit --limit 3/min -j ACCEPT")
        #expect(try dropped(namespace) == [])
    }

    /// The shape of ufw's own rules: `ufw enable` with ssh allowed.
    @Test func readsTheRulesOfUFW() throws {
        let namespace = try TestNamespace("fw")
        let rules = """
            *filter
            :INPUT DROP [0:0]
            :ufw-before-input - [0:0]
            :ufw-after-input - [0:0]
            :ufw-not-local - [0:0]
            :ufw-user-input - [0:0]
            :ufw-skip-to-policy-input - [0:0]
            -A INPUT -j ufw-before-input
            -A INPUT -j ufw-after-input
            -A ufw-skip-to-policy-input -j DROP
            -A ufw-before-input -i lo -j ACCEPT
            -A ufw-before-input -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
            -A ufw-before-input -m conntrack --ctstate INVALID -j DROP
            -A ufw-before-input -p icmp --icmp-type echo-request -j ACCEPT
            -A ufw-before-input -p udp --sport 67 --dport 68 -j ACCEPT
            -A ufw-before-input -j ufw-not-local
            -A ufw-before-input -p udp -d 224.0.0.251 --dport 5353 -j ACCEPT
            -A ufw-before-input -j ufw-user-input
            -A ufw-not-local -m addrtype --dst-type LOCAL -j RETURN
            -A ufw-not-local -m addrtype --dst-type MULTICAST -j RETURN
            -A ufw-not-local -m limit --limit 3/min --limit-burst 10 -j LOG
            -A ufw-not-local -j DROP
            -A ufw-after-input -p udp --dport 137 -j ufw-skip-to-policy-input
            -A ufw-user-input -p tcp --dport 22 -j ACCEPT
            COMMIT

            """
        try namespace.execute("sh", "-c", "printf %s \"$1\" | iptables-nft-restore", "sh", rules)
        #expect(try dropped(namespace) == Self.allBut22)
        #expect(try remedy(namespace) == "ufw allow 443/tcp")
    }
}

extension TestNamespace {
    fileprivate func nft(_ text: String) throws {
        try execute("sh", "-c", "printf '%s\\n' \"$1\" | nft -f -", "sh", text)
    }
}
