import Fixtures
import FoundationEssentials
import NetworkTypes
import NodeDocument
import Testing

@Suite struct HostileInputTests {
    private func fault(_ json: String) -> String? {
        do {
            _ = try DocumentJSON.decode(UplinkDocument.self, from: Array(json.utf8))
            return nil
        } catch {
            return error.message
        }
    }

    private func uplinkJSON(_ change: (inout String) -> Void = { _ in }) throws -> String {
        var json = String(decoding: try DocumentJSON.encode(fullUplinkDocument()), as: UTF8.self)
        change(&json)
        return json
    }

    private func replacing(_ old: String, by new: String) throws -> String {
        let json = try uplinkJSON()
        let parts = json.split(separator: old, omittingEmptySubsequences: false)
        try #require(parts.count > 1, "the document holds no \(old)")
        return parts.joined(separator: new)
    }

    @Test(arguments: [
        (#""mtu":1420,"#, "", "content.mtu is missing"),
        (#""mtu":1420"#, #""mtu":"1420""#, "content.mtu is not a Int"),
        (#""mtu":1420"#, #""mtu":null"#, "content.mtu is null, not a Int"),
        (
            #""targetPort":8443"#, #""targetPort":0"#,
            #"content.forwards[0].targetPort: "0" is not a valid port: must be between 1 and 65535"#
        ),
        (
            #""targetPort":8443"#, #""targetPort":70000"#,
            #"content.forwards[0].targetPort: "70000" is not a valid port: must be between 1 and 65535"#
        ),
        (
            "10.200.0.0/24", "10.200.0.1/24",
            #"content.network: "10.200.0.1/24" is not a valid network: host bits are set; did you mean 10.200.0.0/24?"#
        ),
        (
            "vps.example.com", "$(reboot)",
            #"content.relay.host: "$(reboot)" is not a valid host address: want an IPv4 or IPv6 address, or a DNS name of letters, digits, dots and inner hyphens"#
        ),
        (
            #""protocol":"TCP""#, #""protocol":"SCTP""#,
            "content.forwards[0].protocol: Cannot initialize TransportProtocol from invalid String value SCTP"
        ),
        (#""format":1"#, #""format":{}"#, "format is not a Int"),
    ])
    func namesTheField(old: String, new: String, message: String) throws {
        #expect(fault(try replacing(old, by: new)) == message)
    }

    @Test(arguments: [
        "", " ", "\u{0}", "null", "[]", "7", "\"\"", "{", "}", "{}x", "{\"content\":", "\u{FEFF}{}", "{\"format\":1e400}",
        "{\"format\":\(String(repeating: "9", count: 400))}",
        "{'a':1}", "{\"a\":1,}", "NaN",
    ])
    func refusesWhatIsNoDocument(json: String) {
        #expect(fault(json)?.isEmpty == false)
    }

    @Test func refusesDepthWithoutFalling() {
        #expect(fault(String(repeating: "[", count: 100_000)) != nil)
        #expect(fault(String(repeating: #"{"content":"#, count: 100_000)) != nil)
    }

    @Test func refusesBytesThatAreNoText() {
        #expect(throws: DocumentError.self) { try DocumentJSON.decode(UplinkDocument.self, from: [0xFF, 0xFE, 0x7B, 0x7D]) }
        #expect(throws: DocumentError.self) {
            try DocumentJSON.decode(Owner.self, from: Array(#"{"name":""#.utf8) + [0xC3, 0x28] + Array(#""}"#.utf8))
        }
    }

    /// Whatever is read is a document that can be written and read again.
    @Test func survivesMutation() throws {
        var random = SeededRandom(seed: 7)
        let original = try DocumentJSON.encode(fullUplinkDocument())
        var accepted = 0
        for _ in 0..<1500 {
            var bytes = original
            for _ in 0..<Int.random(in: 1...4, using: &random) {
                let place = Int.random(in: 0..<bytes.count, using: &random)
                switch Int.random(in: 0..<3, using: &random) {
                case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
                case 1: bytes.remove(at: place)
                default: bytes.removeSubrange(place..<min(bytes.count, place + 40))
                }
                if bytes.isEmpty { break }
            }
            guard let document = try? DocumentJSON.decode(UplinkDocument.self, from: bytes) else { continue }
            accepted += 1
            #expect(try DocumentJSON.decode(UplinkDocument.self, from: DocumentJSON.encode(document)) == document)
        }
        #expect(accepted > 10)
    }
}
