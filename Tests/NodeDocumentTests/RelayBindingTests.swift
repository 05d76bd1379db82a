import Fixtures
import NetworkTypes
import NodeDocument
import Testing

@Suite struct RelayBindingTests {
    private func fault(_ name: String, _ transport: RelayTransport) throws -> String? {
        RelayBinding(name: name, listenPort: try Port(443), tunnelPort: try Port(443), transport: transport).fault
    }

    private func fault(_ mode: RelayTLS.Mode, _ material: TLSMaterial?) throws -> String? {
        try fault("a", .tcp(RelayTCP(tls: RelayTLS(mode: mode, material: material))))
    }

    private let bare = TLSMaterial(certificateChain: "chain", privateKey: "key")
    private let whole = TLSMaterial(certificateChain: "chain", privateKey: "key", certificateAuthority: "ca")

    @Test(arguments: ["../etc", "a.b", "", "A", "a\"b", "a\nb", String(repeating: "a", count: 64)])
    func nameThatIsNoLabelIsRefused(_ name: String) throws {
        #expect(try fault(name, .udp(RelayUDP()))?.hasSuffix("use a-z, 0-9 and inner hyphens") == true)
    }

    @Test func materialMustFitTheMode() throws {
        #expect(try fault(.passthrough, nil) == nil && fault(.offload, bare) == nil && fault(.mutual, whole) == nil)
        #expect(try fault(.mutual, bare)?.contains("needs the CA") == true)
        #expect(try fault(.passthrough, bare)?.contains("has no certificate") == true)
        // The host keeps what it has.
        #expect(try fault(.offload, nil) == nil && fault(.mutual, nil) == nil)
    }

    @Test func numbersAreOfThisWorld() throws {
        #expect(try fault("a", .tcp(RelayTCP(connectTimeout: .seconds(0)))) != nil)
        #expect(try fault("a", .tcp(RelayTCP(idleTimeout: .seconds(-1)))) != nil)
        #expect(try fault("a", .udp(RelayUDP(sessionTimeout: .seconds(-1)))) != nil)
        for bytes in [0, -1, 65_508] { #expect(try fault("a", .udp(RelayUDP(maxDatagramBytes: bytes))) != nil) }
        #expect(try fault("a", .udp(RelayUDP(maxDatagramBytes: 65_507))) == nil)
    }

    @Test func materialIsCutToTheMode() {
        #expect(whole.fitted(to: .offload) == bare && whole.fitted(to: .mutual) == whole && bare.fitted(to: .offload) == bare)
        #expect(bare.fitted(to: .mutual) == nil && whole.fitted(to: .passthrough) == nil && whole.fitted(to: nil) == nil)
    }
}
