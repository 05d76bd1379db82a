import Fixtures
import NetworkTypes
import Testing

@Suite struct AddressTests {
    @Test(arguments: [
        ("0.0.0.0", UInt32(0)), ("10.0.0.1", 0x0A00_0001), ("255.255.255.255", .max), ("203.0.113.10", 0xCB00_710A),
    ])
    func readsIPv4(text: String, number: UInt32) throws {
        let address = try IPv4Address(parsing: text)
        #expect(address.number == number)
        #expect(address.description == text)
        #expect(IPv4Address(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", "1", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "256.0.0.1", "01.2.3.4", "1.2.3.04", "0x1.2.3.4", "+1.2.3.4",
        "-1.2.3.4",
        " 1.2.3.4", "1.2.3.4 ", "1.2.3.4\n", "1.2.3.4\u{0}", "١.2.3.4", "1.2.3.99999999999999999999", "::1",
    ])
    func refusesWhatIsNoIPv4(text: String) {
        #expect(IPv4Address(text) == nil)
    }

    @Test(arguments: [
        ("::", "::"), ("::1", "::1"), ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"), ("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1"),
        ("fe80::1", "fe80::1"), ("::ffff:192.0.2.1", "::ffff:192.0.2.1"), ("2001:db8::0001", "2001:db8::1"),
    ])
    func readsIPv6AndPrintsItCanonically(text: String, canonical: String) throws {
        let address = try IPv6Address(parsing: text)
        #expect(address.description == canonical)
        #expect(IPv6Address(bytes: address.bytes) == address)
    }

    @Test(arguments: [
        "", ":", ":::", "1::2::3", "fe80::1%eth0", "[::1]", "::1\u{0}", "g::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "::1 ",
        "10.0.0.1",
    ])
    func refusesWhatIsNoIPv6(text: String) {
        #expect(IPv6Address(text) == nil)
    }

    @Test func ordersIPv4ByNumber() throws {
        #expect(try IPv4Address(parsing: "9.255.255.255") < IPv4Address(parsing: "10.0.0.0"))
    }

    @Test func wantsTheRightNumberOfBytes() {
        #expect(IPv4Address(bytes: [1, 2, 3]) == nil)
        #expect(IPv4Address(bytes: [1, 2, 3, 4, 5]) == nil)
        #expect(IPv6Address(bytes: [UInt8](repeating: 0, count: 15)) == nil)
    }

    @Test(arguments: [
        ("203.0.113.10", "203.0.113.10", "203.0.113.10"), ("2001:DB8::1", "2001:db8::1", "[2001:db8::1]"),
        ("VPS.Example.COM", "vps.example.com", "vps.example.com"), ("vps", "vps", "vps"), ("1and1.com", "1and1.com", "1and1.com"),
        ("xn--bcher-kva.example", "xn--bcher-kva.example", "xn--bcher-kva.example"),
    ])
    func readsHosts(text: String, plain: String, bracketed: String) throws {
        let host = try HostAddress(parsing: text)
        #expect(host.description == plain)
        #expect(host.bracketed == bracketed)
    }

    /// None of these may ever reach a resolver, a shell or a file name.
    @Test(arguments: [
        "", ".", "a.", ".a", "a..b", "-a.example", "a-.example", "a_b.example", "$(reboot)", "`reboot`", "a;b", "a b", "a\nb",
        "a\u{0}", "../etc",
        "a/b", "'a'", "\"a\"", "10.0.0", "10.0.0.256", "1.2.3.4.5", "[::1]", "::1%lo", "bücher.example",
        "\u{212A}ubernetes.example", "a:22",
        "user@host", String(repeating: "a", count: 64), String(repeating: "a.", count: 127) + "aa",
    ])
    func refusesWhatIsNoHost(text: String) {
        #expect(HostAddress(text) == nil)
    }

    @Test(arguments: [
        ("a", true), ("a-b", true), ("0", true), (String(repeating: "a", count: 63), true), ("", false), ("A", false),
        ("a.b", false), ("-a", false), ("a-", false), ("é", false), (String(repeating: "a", count: 64), false),
    ])
    func knowsLabels(text: String, isLabel: Bool) {
        #expect(isDNSLabel(text) == isLabel)
    }

    @Test func survivesAnyText() {
        var random = SeededRandom(seed: 3)
        for _ in 0..<5000 {
            let text = random.text(of: "0123456789abcdefx:./-%[] \u{0}é", limit: 24)
            if let address = IPAddress(text) { #expect(IPAddress(address.description) == address) }
            if let host = HostAddress(text) { #expect(HostAddress(host.description) == host) }
            if let network = CIDR(text) { #expect(CIDR(network.description) == network) }
        }
        for _ in 0..<2000 {
            let four = random.bytes(4)
            #expect(IPv4Address(bytes: four).flatMap { IPv4Address($0.description) }?.bytes == four)
            let sixteen = random.bytes(16)
            #expect(IPv6Address(bytes: sixteen).flatMap { IPv6Address($0.description) }?.bytes == sixteen)
        }
    }
}
