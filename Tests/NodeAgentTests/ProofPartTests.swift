import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct ProofPartTests {
    private func document(_ count: Int, version: String = "1.40.0") throws -> EnvoyDocument {
        var document = try sampleDocument().content.envoy
        document.release.version = version
        document.secrets = []
        document.tlsFiles = []
        document.listeners = try (0..<count).map {
            EnvoyListener(
                name: "tcp-\(1000 + $0)", protocol: .tcp, port: try Port(1000 + $0), bindings: ["b\($0)"], json: "{\"n\":\($0)}")
        }
        document.clusters = (0..<count).map { EnvoyResource(name: "b\($0)", json: "{\"name\":\"b\($0)\"}") }
        return document
    }

    private func parts(_ document: EnvoyDocument, after former: EnvoyDocument?, unproven: Set<String> = []) -> [ProofPart] {
        ProofPart.parts(of: document, document.listeners, former: former, unproven: unproven, listenersPerPart: 500)
    }

    @Test func allAtFirstInParts() throws {
        let parts = parts(try document(5000), after: nil)
        #expect(parts.map(\.listeners.count) == Array(repeating: 500, count: 10))
        #expect(parts.map(\.clusters.count) == Array(repeating: 500, count: 10), "each with its own clusters")
    }

    @Test func onlyWhatIsNewAfter() throws {
        let former = try document(5000)
        #expect(parts(former, after: former).isEmpty)
        let more = parts(try document(5001), after: former)
        #expect(more.map { $0.listeners.map(\.name) } == [["tcp-6000"]])
        #expect(more.first?.clusters.map(\.name) == ["b5000"])
    }

    @Test func aChangedClusterIsShownWithItsListener() throws {
        let former = try document(20)
        var changed = former
        changed.clusters[7].json = "{\"name\":\"b7\",\"other\":1}"
        #expect(parts(changed, after: former).map { $0.listeners.map(\.name) } == [["tcp-1007"]])
        changed.listeners.remove(at: 7)
        let alone = parts(changed, after: former)
        #expect(alone.map(\.listeners.count) == [0] && alone.first?.clusters.map(\.name) == ["b7"])
    }

    @Test func anotherEnvoyIsShownAll() throws {
        #expect(parts(try document(9), after: try document(9, version: "1.39.3")).map(\.listeners.count) == [9])
    }

    @Test func whatWasLeftOutWasNeverShown() throws {
        let former = try document(9)
        #expect(parts(former, after: former, unproven: ["tcp-1003"]).map { $0.listeners.map(\.name) } == [["tcp-1003"]])
    }

    @Test func aNewKeyIsShown() throws {
        var former = try document(3)
        former.secrets = [EnvoyResource(name: "b1", json: "{\"private_key\":{\"filename\":\"./tls/b1-0a.key\"}}")]
        former.tlsFiles = [TLSFile(name: "b1-0a.key", contents: "k")]
        var changed = former
        changed.secrets[0].json = "{\"private_key\":{\"filename\":\"./tls/b1-0b.key\"}}"
        changed.tlsFiles = [TLSFile(name: "b1-0b.key", contents: "l")]
        let shown = parts(changed, after: former)
        #expect(shown.map { $0.listeners.map(\.name) } == [["tcp-1001"]] && shown.first?.secrets.count == 1)
    }
}
