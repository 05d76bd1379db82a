import LinkCarriers
import NetworkTypes
import Sodium
import Testing

/// Proxies as environments name them.
@Suite struct HTTPProxyTests {
    @Test(
        arguments: [
            ("http://proxy.example:3128", "proxy.example:3128", nil, false),
            ("proxy.example:3128", "proxy.example:3128", nil, false),
            ("http://proxy.example", "proxy.example:80", nil, false), ("https://proxy.example/", "proxy.example:443", nil, true),
            ("http://user:pass@10.0.0.1:8080/", "10.0.0.1:8080", "user:pass", false),
            ("http://user:p%40ss%3A%25@[2001:db8::1]:8080", "[2001:db8::1]:8080", "user:p@ss:%", false),
            ("http://user:a@b@h.example:1", "h.example:1", "user:a@b", false),
        ] as [(String, String, String?, Bool)])
    func `A URL is read, and overwritten`(text: String, place: String, credentials: String?, isSecure: Bool) throws {
        var url = Array(text.utf8)
        let proxy = try HTTPProxy(consumingURL: &url)
        #expect(url.isEmpty)
        #expect("\(proxy)" == place)
        #expect(proxy.isSecure == isSecure)
        #expect(proxy.credentials?.withUnsafeBytes { String(decoding: $0, as: UTF8.self) } == credentials)
    }

    @Test(arguments: [
        "socks5://secret@h:1", "http://user:secret@", "http://user:secret@h:0", "http://user:secret@h:x", "http://secret%4@h:1",
        "http://secret%zz@h:1", "", "http://secret@a b:1",
    ])
    func `What is no proxy says so, and nothing of its password`(text: String) {
        var url = Array(text.utf8)
        let error = #expect(throws: LinkCarrierError.self) { try HTTPProxy(consumingURL: &url) }
        #expect(url.isEmpty)
        #expect(error.map { !"\($0)".contains("secret") } == true)
    }
}
