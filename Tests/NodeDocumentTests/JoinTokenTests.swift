import NetworkTypes
import Sodium
import Testing

@testable import NodeDocument

@Suite struct JoinTokenTests {
    private func token(_ alter: (inout UplinkContent) throws -> Void = { _ in }) throws -> JoinToken {
        let key = try WireGuardPrivateKey.generate()
        var content = UplinkContent(
            relay: UplinkRelay(
                publicKey: try key.publicKey(), host: try HostAddress(parsing: "203.0.113.10"), port: try Port(51821),
                address: try IPv4Address(parsing: "10.200.0.1")),
            network: try CIDR(parsing: "10.200.0.0/24"), mtu: 1420, persistentKeepalive: 25,
            replicas: [
                UplinkReplica(ordinal: 3, address: try IPv4Address(parsing: "10.200.0.5"), publicKey: try key.publicKey())
            ],
            forwards: [],
            link: UplinkLink(
                carriers: [.tls], pin: SHA256.digest(of: "edge"), host: try HostAddress(parsing: "203.0.113.10"),
                port: try Port(443), hostname: "a.invalid", path: "/secret", url: nil, connections: 2))
        try alter(&content)
        let document = UplinkDocument(
            owner: Owner(installation: "i", namespace: "default", name: "edge"), hash: try content.digest(), content: content)
        return try JoinToken(document: document, key: key, opener: try HandoverKey.generate().opener())
    }

    @Test func comesBackWhole() throws {
        let token = try token()
        var text = Array("  ".utf8) + (try token.text()) + Array("\r\n".utf8)
        let read = try JoinToken(consuming: &text)
        #expect(read.facts == token.facts)
        #expect(read.key == token.key)
        #expect(read.opener == token.opener)
        #expect(read.ordinal == 3)
        #expect(text.isEmpty)
    }

    /// It is pasted into a shell.
    @Test func isOneWordWithoutAnythingThatAShellTakesForMore() throws {
        let text = try token().text()
        #expect(text.count < JoinToken.longest)
        let isPlain = { (byte: UInt8) in
            (0x30...0x39).contains(byte) || (0x41...0x5A).contains(byte) || (0x61...0x7A).contains(byte)
                || [0x2D, 0x2E, 0x5F].contains(byte)
        }
        #expect(text.allSatisfy(isPlain))
    }

    @Test func isSeenToBeCutOrAltered() throws {
        let text = try token().text()
        for count in stride(from: 0, to: text.count, by: 7) {
            var cut = Array(text.prefix(count))
            #expect(throws: InvalidValue.self) { try JoinToken(consuming: &cut) }
        }
        for index in stride(from: 0, to: text.count, by: 5) {
            var altered = text
            altered[index] = altered[index] == 0x61 ? 0x62 : 0x61
            #expect(throws: InvalidValue.self) { try JoinToken(consuming: &altered) }
        }
    }

    @Test func isNotMadeWithoutALinkOrForMoreThanOneUplink() throws {
        #expect(throws: InvalidValue.self) { try token { $0.link = nil } }
        #expect(throws: InvalidValue.self) { try token { $0.replicas += $0.replicas } }
        #expect(throws: InvalidValue.self) {
            try token { $0.replicas[0].publicKey = try WireGuardPrivateKey.generate().publicKey() }
        }
    }

    @Test func neverRepeatsItself() throws {
        var text = Array((try token().text()).dropLast(3))
        let secret = String(decoding: text.suffix(40), as: UTF8.self)
        do {
            _ = try JoinToken(consuming: &text)
            Issue.record("it was taken")
        } catch {
            #expect(!"\(error)".contains(secret))
        }
        #expect("\(try token())" == "<join token of uplink 3 of EdgeNode default/edge of installation i>")
    }
}
