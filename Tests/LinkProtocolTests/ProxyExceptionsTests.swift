import LinkProtocol
import NetworkTypes
import Testing

/// Who is connected to without the proxy.
@Suite struct ProxyExceptionsTests {
    @Test(arguments: [
        ("", "example.com", 443, false), ("*", "example.com", 443, true), ("*", "10.0.0.1", 443, true),
        ("example.com", "example.com", 443, true), ("example.com", "a.example.com", 443, true),
        ("example.com", "anexample.com", 443, false), (".example.com", "example.com", 443, false),
        ("*.example.com", "a.b.example.com", 443, true), ("EXAMPLE.com", "example.com", 443, true),
        ("example.com:443", "example.com", 443, true), ("example.com:443", "example.com", 80, false),
        ("localhost, 10.0.0.0/8 ,x", "10.1.2.3", 443, true), ("10.0.0.0/8", "11.1.2.3", 443, false),
        ("203.0.113.10", "203.0.113.10", 443, true), ("203.0.113.10:80", "203.0.113.10", 443, false),
        ("2001:db8::1", "2001:db8::1", 443, true), ("[2001:db8::1]:443", "2001:db8::1", 443, true),
        ("[2001:db8::1]:444", "2001:db8::1", 443, false), ("10.0.0.0/99,,:,a b,-", "10.0.0.1", 443, false),
        ("a.example example.com", "example.com", 443, true),
    ])
    func `The list is read as others read it`(list: String, host: String, port: Int, isCovered: Bool) throws {
        #expect(ProxyExceptions(list).cover(try HostAddress(parsing: host), try Port(port)) == isCovered)
    }
}
