import EdgeAPI
import EnvoyConfig
import NetworkTypes
import Testing

@Suite struct EnvoyBindingTests {
    private static func refusal(_ name: String, _ mode: TLSOptions.Mode?, _ material: TLSMaterial?) throws -> String {
        let transport = Transport.tcp(TCPOptions(tls: mode.map { TLSOptions(mode: $0) }))
        let port = try Port(443)
        do {
            _ = try EnvoyBinding(
                name: name, listenPort: port, tunnelPort: port, transport: transport,
                certificate: material.map { .given($0) })
            return "accepted"
        } catch {
            return error.description
        }
    }

    @Test(arguments: ["../etc", "a.b", "", "A", "a\"b", "a\nb"]) func nameThatIsNoLabelIsRefused(_ name: String) throws {
        #expect(try Self.refusal(name, nil, nil).hasSuffix("use a-z, 0-9 and inner hyphens"))
    }

    @Test func materialMustFitTheMode() throws {
        let bare = TLSMaterial(certificateChain: "chain", privateKey: "key")
        #expect(try Self.refusal("a", .passthrough, nil) == "accepted")
        #expect(try Self.refusal("a", .offload(Example.secret), bare) == "accepted")
        #expect(try Self.refusal("a", .mutual(Example.secret), Example.material) == "accepted")
        #expect(try Self.refusal("a", .offload(Example.secret), nil).contains("mode offload needs a certificate and its key"))
        #expect(try Self.refusal("a", .mutual(Example.secret), nil).contains("mode mutual needs a certificate and its key"))
        #expect(try Self.refusal("a", .mutual(Example.secret), bare).contains("needs the CA"))
    }
}
