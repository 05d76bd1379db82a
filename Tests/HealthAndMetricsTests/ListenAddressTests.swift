import Testing

@testable import HealthAndMetrics

@Suite struct ListenAddressTests {
    @Test(arguments: [
        (":8081", "", 8081), ("127.0.0.1:8081", "127.0.0.1", 8081), ("[::1]:8081", "::1", 8081), ("[::]:0", "::", 0),
        ("localhost:65535", "localhost", 65535), ("[fe80::1%eth0]:80", "fe80::1%eth0", 80), ("0.0.0.0:80", "0.0.0.0", 80),
    ])
    func goesFormsAreTaken(value: String, host: String, port: UInt16) throws {
        let address = try #require(try ListenAddress.parse(value, flag: "--x"))
        #expect(address == ListenAddress(host: host, port: port))
        #expect(address.description == value)
    }

    @Test(arguments: ["0", ""]) func theseTurnItOff(value: String) throws {
        #expect(try ListenAddress.parse(value, flag: "--x") == nil)
    }

    @Test(arguments: [
        "8081", "localhost", ":", ":65536", ":-1", ":+1", ":http", "::1:80", "[::1]", "[]:80", "[127.0.0.1]:80", "[::1:80",
        "a b:80", "http://x:80", "x/y:80", "[::1]x:80", "00",
    ])
    func anythingElseIsRefusedByTheNameOfItsFlag(value: String) {
        #expect {
            try ListenAddress.parse(value, flag: "--metrics-bind-address")
        } throws: { error in
            "\(error)".hasPrefix("--metrics-bind-address: \"\(value)\" is no address: ")
        }
    }
}
