import NetworkTypes
import Testing
import TunnelProtocols

@Suite struct WstunnelRequestTests {
    private static let header = "eyJ0eXAiOiJKV1QiLCJhbGciOiJIUzI1NiJ9"

    /// The golden tokens of the protocol's page.
    @Test(
        arguments: [
            (
                "eyJpZCI6IjAxOTIwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsInAiOnsiVGNwIjp7InByb3h5X3Byb3RvY29sIjpmYWxzZX19LCJyIjoiMTI3LjAuMC4xIiwicnAiOjIyfQ.RVxNfON9I83RM635sg66h62_b7H5DSg4CVEBrRUIlnI",
                .tcp(hasProxyHeader: false), "127.0.0.1", 22
            ),
            (
                "eyJpZCI6IjAxOTIwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsInAiOnsiVWRwIjp7InRpbWVvdXQiOm51bGx9fSwiciI6IjEyNy4wLjAuMSIsInJwIjo1MTgyMH0.fVlO2OReObg3SQwsJLe9UKS7xrOFzyQnSHOIChggU14",
                .udp, "127.0.0.1", 51820
            ),
            (
                "eyJpZCI6IjAxOTIwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsInAiOiJSZXZlcnNlVGNwIiwiciI6Ils6Ol0iLCJycCI6ODA4MH0.xVSISERDB47ocynhA2-Y1vF85i8wqcc4GbFdqcErF6s",
                .reverseTCP, "::", 8080
            ),
            (
                "eyJpZCI6IjAxOTIwMDAwLTAwMDAtNzAwMC04MDAwLTAwMDAwMDAwMDAwMSIsInAiOnsiVWRwIjp7InRpbWVvdXQiOnsic2VjcyI6MzAsIm5hbm9zIjowfX19LCJyIjoiMS4xLjEuMSIsInJwIjo1M30.RDsSsz997S_szMhH6wSjdeJmWM2ZmhknERhY_68b7QQ",
                .udp, "1.1.1.1", 53
            ),
        ] as [(String, WstunnelRequest.Kind, String, Int)])
    func `Golden tokens`(rest: String, kind: WstunnelRequest.Kind, host: String, port: Int) throws {
        let request = try WstunnelRequest(token: "\(Self.header).\(rest)")
        #expect(request == WstunnelRequest(kind: kind, host: host, port: try Port(port)))
    }

    private func token(_ claims: String) -> String {
        "\(Self.header).\(String(decoding: encodeBase64URL(Array(claims.utf8)), as: UTF8.self)).x"
    }

    @Test(
        arguments: [
            (#"{"p":"Tcp","r":"a.b","rp":1}"#, .tcp(hasProxyHeader: false)),
            (#"{"p":{"Tcp":{"proxy_protocol":true}},"r":"a.b","rp":1}"#, .tcp(hasProxyHeader: true)),
            (#"{"p":{"ReverseUdp":{"timeout":null}},"r":"a.b","rp":1,"new":[1]}"#, .reverseUDP),
            (#"{"p":{"ReverseSocks5":{"timeout":null,"credentials":null}},"r":"a.b","rp":1}"#, .other("ReverseSocks5")),
        ] as [(String, WstunnelRequest.Kind)])
    func `Kinds of older and newer clients`(claims: String, kind: WstunnelRequest.Kind) throws {
        #expect(try WstunnelRequest(token: token(claims)).kind == kind)
    }

    @Test(arguments: [
        "", "xyzzy", "xyzzy.b", "..", "xyzzy.b.c.d", #"{"p":1,"r":"a","rp":1}"#, #"{"p":{},"r":"a","rp":1}"#,
        #"{"p":"Tcp","r":"","rp":1}"#,
        #"{"p":"Tcp","r":"a b","rp":1}"#, #"{"p":"Tcp","r":"a","rp":0}"#, #"{"p":"Tcp","r":"a","rp":65536}"#,
        #"{"p":"Tcp","r":"a","rp":"1"}"#, #"{"p":{"Tcp":{},"Udp":{}},"r":"a","rp":1}"#, "[1]",
    ])
    func `What is no token is refused and not repeated`(text: String) {
        let given = text.hasPrefix("{") || text.hasPrefix("[") ? token(text) : text
        #expect { try WstunnelRequest(token: given) } throws: { error in
            text.utf8.count < 4 || !"\(error)".contains(given)
        }
    }

    @Test func `A token is bounded`() {
        #expect(throws: InvalidValue.self) {
            try WstunnelRequest(
                token: token(#"{"p":"Tcp","r":"a","rp":1,"x":""# + String(repeating: "y", count: 400_000) + #""}"#))
        }
    }

    @Test(arguments: [
        ("/secret/events", "secret"), ("/secret/v1/events?x=/y", "secret"), ("/secret", nil), ("/events", nil),
        ("secret/events", nil),
        ("//events", nil), ("/secret/events/", nil), ("", nil),
    ])
    func `The path's prefix`(path: String, prefix: String?) {
        #expect(WstunnelRequest.prefix(ofPath: path).map(String.init) == prefix)
    }

    @Test func `Where the token stands`() {
        #expect(WstunnelRequest.token(protocols: ["v1, authorization.bearer.a.b.c"], cookie: nil) == "a.b.c")
        #expect(WstunnelRequest.token(protocols: ["v1", "authorization.bearer.a.b.c"], cookie: "d") == "a.b.c")
        #expect(WstunnelRequest.token(protocols: ["v1"], cookie: "a.b.c") == "a.b.c")
        #expect(WstunnelRequest.token(protocols: [], cookie: nil) == nil)
    }
}
