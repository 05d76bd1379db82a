import NetworkTypes
import Testing

@Suite struct CIDRTests {
    @Test(arguments: ["10.200.0.0/24", "0.0.0.0/0", "128.0.0.0/1", "10.0.0.2/31", "10.0.0.1/32"])
    func readsNetworks(text: String) throws {
        #expect(try CIDR(parsing: text).description == text)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0", "10.0.0.0/", "/24", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8", "10.0.0.0/08", "10.0.0.0/8/8",
        "10.0.0.0/ 8", "10.0.0.0/999", "10.0.0.0/8\n", "::/0",
    ])
    func refusesWhatIsNone(text: String) {
        #expect(CIDR(text) == nil)
    }

    @Test(arguments: [("10.200.0.1/24", "10.200.0.0/24"), ("10.0.0.1/0", "0.0.0.0/0"), ("10.0.0.3/31", "10.0.0.2/31")])
    func namesTheNetworkThatWasMeant(text: String, meant: String) {
        let error = #expect(throws: InvalidValue.self) { try CIDR(parsing: text) }
        #expect(error?.reason == "host bits are set; did you mean \(meant)?")
    }

    @Test(
        arguments: [
            // network, offset, its address
            ("10.200.0.0/24", 0, "10.200.0.0"), ("10.200.0.0/24", 1, "10.200.0.1"), ("10.200.0.0/24", 254, "10.200.0.254"),
            ("10.200.0.0/24", 255, nil), ("10.200.0.0/24", 256, nil), ("10.200.0.0/24", -1, nil), ("10.0.0.0/30", 2, "10.0.0.2"),
            ("10.0.0.0/30", 3, nil), ("10.0.0.0/31", 1, "10.0.0.1"), ("10.0.0.0/31", 2, nil), ("10.0.0.1/32", 0, "10.0.0.1"),
            ("10.0.0.1/32", 1, nil), ("0.0.0.0/0", 4_294_967_294, "255.255.255.254"), ("0.0.0.0/0", 4_294_967_295, nil),
            ("0.0.0.0/0", .max, nil),
        ] as [(String, Int, String?)])
    func countsHosts(network: String, offset: Int, address: String?) throws {
        #expect(try CIDR(parsing: network).host(offset)?.description == address)
    }

    @Test func containsItsOwnAndNoOthers() throws {
        let network = try CIDR(parsing: "10.200.0.0/22")
        #expect(network.contains(try IPv4Address(parsing: "10.200.0.0")))
        #expect(network.contains(try IPv4Address(parsing: "10.200.3.255")))
        #expect(!network.contains(try IPv4Address(parsing: "10.200.4.0")))
        #expect(!network.contains(try IPv4Address(parsing: "10.199.255.255")))
        #expect(try CIDR(parsing: "0.0.0.0/0").contains(IPv4Address(number: .max)))
        #expect(!CIDR(IPv4Address(number: 7)).contains(IPv4Address(number: 6)))
    }

    @Test func masksAndKeepsLengthsInRange() {
        let address = IPv4Address(number: 0x0AC8_0007)
        #expect(CIDR(masking: address, prefixLength: 24) == TunnelNetwork.default)
        #expect(CIDR(masking: address, prefixLength: 40).prefixLength == 32)
        #expect(CIDR(masking: address, prefixLength: -1).description == "0.0.0.0/0")
    }

    private enum TunnelNetwork { static let `default` = CIDR(masking: IPv4Address(number: 0x0AC8_0000), prefixLength: 24) }
}
