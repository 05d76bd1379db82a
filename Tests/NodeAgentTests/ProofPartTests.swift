import EnvoyConfig
import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct ProofPartTests {
    private func content(_ count: Int, version: String = "1.40.0") throws -> RelayContent {
        var content = try sampleDocument(version: version).content
        content.envoy.bindings = try (0..<count).map { try sampleBinding("b\($0)", 1000 + $0) }
        return content
    }

    private func parts(
        _ content: RelayContent, after former: RelayContent?, unproven: Set<String> = [], bindings: Set<String> = []
    ) -> [ProofPart] {
        let configuration = EnvoyConfiguration(content)
        return ProofPart.parts(
            of: configuration, configuration.listeners, former: former.map { EnvoyConfiguration($0) }, unproven: unproven,
            unprovenBindings: bindings, listenersPerPart: 500)
    }

    @Test func allAtFirstInParts() throws {
        let parts = parts(try content(5000), after: nil)
        #expect(parts.map(\.listeners.count) == Array(repeating: 500, count: 10))
        #expect(parts.map(\.bindings.count) == Array(repeating: 500, count: 10), "each with its own clusters")
    }

    @Test func onlyWhatIsNewAfter() throws {
        let former = try content(5000)
        #expect(parts(former, after: former).isEmpty)
        let more = parts(try content(5001), after: former)
        #expect(more.map { $0.listeners.map(\.name) } == [["tcp-6000"]])
        #expect(more.first?.bindings == ["b5000"])
    }

    @Test func aChangedBindingIsShownWithItsListener() throws {
        let former = try content(20)
        var changed = former
        changed.envoy.bindings[7].transport = .tcp(RelayTCP(connectTimeout: .seconds(7)))
        #expect(parts(changed, after: former).map { $0.listeners.map(\.name) } == [["tcp-1007"]])
        let configuration = EnvoyConfiguration(changed)
        let alone = ProofPart.parts(
            of: configuration, configuration.listeners.filter { $0.name != "tcp-1007" }, former: EnvoyConfiguration(former),
            unproven: [], listenersPerPart: 500)
        #expect(alone == [ProofPart(bindings: ["b7"])], "a listener that is left out leaves its cluster")
    }

    @Test func aListenerThatGetsOneMoreIsShownWhole() throws {
        let former = try content(3)
        var changed = former
        changed.envoy.bindings.append(try sampleBinding("new", 1001, tls: RelayTLS(mode: .passthrough, hostnames: ["a.b"])))
        let shown = parts(changed, after: former)
        #expect(shown.map { $0.listeners.map(\.name) } == [["tcp-1001"]] && shown.first?.bindings == ["b1", "new"])
    }

    @Test func anotherEnvoyIsShownAll() throws {
        #expect(parts(try content(9), after: try content(9, version: "1.39.3")).map(\.listeners.count) == [9])
    }

    @Test func anotherBridgeIsShown() throws {
        var former = try content(3)
        former.envoy.bridge = .readOnly
        var changed = former
        changed.envoy.bridge = .metrics
        #expect(parts(changed, after: former).map { $0.listeners.map(\.name) } == [["bridge"]])
        changed = former
        changed.wireGuard.peers = []
        #expect(parts(changed, after: former).map { $0.listeners.map(\.name) } == [["bridge"]])
    }

    @Test func whatWasLeftOutWasNeverShown() throws {
        let former = try content(9)
        #expect(parts(former, after: former, unproven: ["tcp-1003"]).map { $0.listeners.map(\.name) } == [["tcp-1003"]])
        #expect(parts(former, after: former, bindings: ["b4"]).map { $0.listeners.map(\.name) } == [["tcp-1004"]])
    }

    @Test func aNewKeyIsShown() throws {
        var former = try content(3)
        former.envoy.bindings[1] = try sampleBinding("b1", 1001, tls: sampleTLS(key: "k"))
        var changed = former
        changed.envoy.bindings[1].tls = sampleTLS(key: "l")
        let shown = parts(changed, after: former)
        #expect(shown.map { $0.listeners.map(\.name) } == [["tcp-1001"]] && shown.first?.bindings == ["b1"])
    }
}
