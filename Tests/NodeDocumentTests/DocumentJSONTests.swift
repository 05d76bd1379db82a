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
        func secret(_ name: String, _ file: String) -> EnvoyResource {
            EnvoyResource(name: name, json: #"{"name":"\#(name)","filename":"./tls/\#(file)"}"#)
        }
        var former = try fullRelayDocument().content.envoy
        former.secrets = [secret("web", "web-1.key"), secret("my-web", "my-web-1.key"), secret("gone", "gone-1.key")]
        former.tlsFiles = ["web-1.key", "my-web-1.key", "gone-1.key"].map { TLSFile(name: $0, contents: $0) }
        var keeping = former
        keeping.secrets = [secret("my-web", "my-web-2.key")]
        keeping.tlsFiles = [TLSFile(name: "my-web-2.key", contents: "new")]
        keeping.keptSecrets = ["web", "web.ca"]
        let (whole, missing) = keeping.withKeptSecrets(of: former)
        #expect(missing == ["web.ca"])
        #expect(whole.secrets.map(\.name) == ["my-web", "web"])
        #expect(whole.tlsFiles.map(\.name) == ["my-web-2.key", "web-1.key"])
        #expect(whole.keptSecrets == nil)
        #expect(keeping.withKeptSecrets(of: nil).missing == ["web", "web.ca"])
        #expect(EnvoyDocument.binding(ofSecret: "web.ca") == "web")
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

    @Test func neverPrintsAKey() throws {
        let file = TLSFile(name: "web-00.key", contents: "-----BEGIN PRIVATE KEY-----\nMIIE\n")
        #expect("\(file)" == "TLSFile(web-00.key, 33 bytes)")
        // Nor from within a document, however that is printed.
        var document = try fullRelayDocument()
        document.content.envoy.tlsFiles = [file]
        var dumped = ""
        dump(document, to: &dumped)
        for shown in ["\(document)", String(reflecting: document), dumped] {
            #expect(shown.contains("TLSFile(web-00.key, 33 bytes)"))
            #expect(!shown.contains("MIIE"))
        }
    }
}
