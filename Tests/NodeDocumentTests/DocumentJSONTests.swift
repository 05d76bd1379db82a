import Fixtures
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@Suite struct DocumentJSONTests {
    @Test func readsBackWhatItWrites() throws {
        let relay = try fullRelayDocument()
        #expect(try DocumentJSON.decode(RelayDocument.self, from: DocumentJSON.encode(relay)) == relay)
        let uplink = try fullUplinkDocument()
        #expect(try DocumentJSON.decode(UplinkDocument.self, from: DocumentJSON.encode(uplink)) == uplink)
        let report = try fullAgentReport()
        #expect(try DocumentJSON.decode(AgentReport.self, from: DocumentJSON.encode(report)) == report)
        let header = EnvoyInstallHeader(version: "1.40.0", sha256: SHA256.digest(of: "e"), length: 107_000_000)
        #expect(try DocumentJSON.decode(EnvoyInstallHeader.self, from: DocumentJSON.encode(header)) == header)
    }

    /// Controller and agents of two builds must agree on these bytes.
    @Test func writesTheseBytes() throws {
        let expected = #"""
            {"content":{"forwards":[{"binding":"web","protocol":"TCP","target":"10.96.0.10","targetPort":8443,"tunnelPort":443}],\#
            "mtu":1420,"network":"10.200.0.0/24","persistentKeepalive":25,"relay":{"address":"10.200.0.1","host":"vps.example.com",\#
            "port":51821,"publicKey":"CQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQkJCQk="},"replicas":[{"address":"10.200.0.2","ordinal":0,\#
            "publicKey":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}]},"format":1,\#
            "hash":"\#(try fullUplinkDocument().hash)","owner":{"installation":"i","name":"edge-node","namespace":"default"}}
            """#
        #expect(String(decoding: try DocumentJSON.encode(fullUplinkDocument()), as: UTF8.self) == expected)
    }

    @Test func takesWhatItKeepsFromTheFormerDocument() throws {
        func binding(_ name: String, _ mode: RelayTLS.Mode, _ material: TLSMaterial?) throws -> RelayBinding {
            RelayBinding(
                name: name, listenPort: try Port(443), tunnelPort: try Port(443),
                transport: .tcp(RelayTCP(tls: RelayTLS(mode: mode, hostnames: ["\(name).example"], material: material))))
        }
        let old = TLSMaterial(certificateChain: "C", privateKey: "K")
        let other = TLSMaterial(certificateChain: "C2", privateKey: "K2", certificateAuthority: "A")
        var former = try fullRelayDocument().content.envoy
        former.bindings = [
            try binding("web", .offload, old), try binding("my-web", .mutual, other), try binding("gone", .offload, old),
        ]
        var keeping = former
        keeping.bindings = [
            try binding("my-web", .offload, nil), try binding("web", .mutual, nil), try binding("new", .offload, nil),
            try binding("given", .offload, old), try binding("through", .passthrough, nil),
        ]
        #expect(keeping.keptCertificates == ["my-web", "web", "new"])
        let (whole, missing) = keeping.withKeptCertificates(of: former)
        // Of web there is no CA, which it now needs.
        #expect(missing == ["web", "new"])
        #expect(whole.bindings[0].tls?.material == TLSMaterial(certificateChain: "C2", privateKey: "K2"))
        #expect(Array(whole.bindings.dropFirst()) == Array(keeping.bindings.dropFirst()))
        #expect(keeping.withKeptCertificates(of: nil).missing == ["my-web", "web", "new"])
        #expect(former.withKeptCertificates(of: nil).envoy == former)
    }

    @Test func isOneLineWithoutEscapedSlashes() throws {
        let bytes = try DocumentJSON.encode(fullRelayDocument())
        #expect(!bytes.contains(0x0A))
        #expect(String(decoding: bytes, as: UTF8.self).contains("https://example.com/envoy"))
    }

    @Test func hashesTheContentAlone() throws {
        let document = try fullRelayDocument()
        #expect(try document.content.digest() == document.hash)
        var other = document
        other.epoch = 1
        other.restartEnvoy = nil
        #expect(try other.content.digest() == document.hash)
        other.content.host.disableNicOffloads = false
        #expect(try other.content.digest() != document.hash)
        var uplink = try fullUplinkDocument()
        #expect(try uplink.content.digest() == uplink.hash)
        uplink.content.forwards = []
        #expect(try uplink.content.digest() != uplink.hash)
    }

    /// A newer writer may add fields.
    @Test func letsUnknownFieldsThrough() throws {
        let json = #"{"installation":"i","namespace":"n","name":"x","colour":{"deep":[1,2]}}"#
        #expect(try DocumentJSON.decode(Owner.self, from: Array(json.utf8)).name == "x")
    }

    /// However a document with keys is written, the bytes are those of texts.
    @Test func secretsAreWrittenAsTextsAre() throws {
        struct Texts: Codable { var certificateChain, privateKey, certificateAuthority: String }
        let texts = Texts(
            certificateChain: "a\"0-0\u{1}", privateKey: "\"\\/\u{0}\u{8}\t\n\u{B}\u{C}\r\u{1F} é\u{7F}\u{2028}",
            certificateAuthority: "")
        let material = TLSMaterial(
            certificateChain: texts.certificateChain, privateKey: texts.privateKey,
            certificateAuthority: texts.certificateAuthority)
        let other = TLSMaterial(certificateChain: "", privateKey: "", certificateAuthority: "x")
        let expected = try DocumentJSON.encode([
            "b": texts, "a": texts, "c": Texts(certificateChain: "", privateKey: "", certificateAuthority: "x"),
        ])
        let written = ["b": material, "a": material, "c": other]
        #expect(String(decoding: try DocumentJSON.encode(written), as: UTF8.self) == String(decoding: expected, as: UTF8.self))
        #expect(try DocumentJSON.encodeSecret(written) == SecretBytes(copying: expected))
        #expect(try DocumentJSON.decode([String: TLSMaterial].self, from: expected) == written)
        let document = try fullRelayDocument()
        #expect(try document.content.digest() == SHA256.digest(of: DocumentJSON.encode(document.content)))
    }

    /// Each takes pages of its own, and thousands of bindings may show one certificate.
    @Test func oneSecretOfManyBindingsIsKeptOnce() throws {
        let json = #"[{"certificateChain":"C","privateKey":"K"},{"certificateChain":"C","privateKey":"K"}]"#
        let materials = try DocumentJSON.decode([TLSMaterial].self, from: Array(json.utf8))
        #expect(materials.count == 2 && materials[0].privateKey === materials[1].privateKey)
    }

    @Test func neverPrintsAKey() throws {
        // Nor from within a document, however that is printed.
        let document = try fullRelayDocument()
        var dumped = ""
        dump(document, to: &dumped)
        for shown in ["\(document)", String(reflecting: document), dumped] {
            #expect(shown.contains("key hidden"))
            #expect(!shown.contains("KEY"))
        }
    }

    /// Of bindings there are thousands.
    @Test func tenThousandBindingsAreShort() throws {
        var content = try fullRelayDocument().content
        content.envoy.bindings = try (0..<10_000).map { number in
            let port = try Port(1000 + number)
            return RelayBinding(name: "binding-\(number)", listenPort: port, tunnelPort: port, transport: .tcp(RelayTCP()))
        }
        #expect(try DocumentJSON.encode(content).count < 3_000_000)
    }
}
