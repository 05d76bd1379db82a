import EdgeAPI
import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument
import Testing

@Suite struct RenderEnvoyTests {
    @Test(arguments: 0..<20) func orderOfInputChangesNothing(seed: UInt64) throws {
        var random = Lottery(state: seed)
        let bindings = try Self.someBindings(&random)
        let uplinks = Array(0..<Int.random(in: 1...5, using: &random))
        let expected = renderEnvoy(Example.input(bindings, uplinks: uplinks))
        let other = renderEnvoy(
            Example.input(bindings.shuffled(using: &random), uplinks: uplinks.shuffled(using: &random)))
        #expect(other == expected)
    }

    @Test(arguments: 0..<20) func everythingReferredToIsThere(seed: UInt64) throws {
        var random = Lottery(state: seed)
        let bindings = try Self.someBindings(&random)
        let document = renderEnvoy(Example.input(bindings))
        let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)
        let files = document.files(on: host) + [document.bootstrapFile(on: host)]
        let paths = Set(files.map(\.path))
        #expect(paths.count == files.count)
        let resources = (document.listeners(on: host) + document.cappedClusters).map { ($0.name, $0.json) }
        for (name, text) in resources + files.filter({ $0.path.hasSuffix(".json") }).map({ ($0.path, $0.contents) }) {
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8))
            for path in Self.paths(in: json) where path.hasPrefix("./") {
                #expect(paths.contains(String(path.dropFirst(2))), "\(name) refers to \(path)")
            }
        }
        #expect(document.clusters.map(\.name) == bindings.map(\.name).sorted())
        #expect(document.listeners.flatMap(\.bindings).sorted() == bindings.map(\.name).sorted())
        #expect(Set(document.listeners.map(\.name)).count == document.listeners.count)
        #expect(document.probes?.tunnelPorts.keys.sorted() == bindings.map(\.name).sorted())
    }

    @Test func replicasChangeTheProbesAlone() throws {
        let bindings = [try Example.tcp("web", 80), try Example.udp("dns", 53)]
        let two = renderEnvoy(Example.input(bindings))
        let three = renderEnvoy(Example.input(bindings, uplinks: [0, 1, 2]))
        #expect(two.listeners == three.listeners)
        #expect(two.clusters == three.clusters)
        #expect(two.probes != three.probes)
        #expect(three.probes?.uplinks.map(\.ordinal) == [0, 1, 2])
        #expect(two.bootstrap == three.bootstrap)
    }

    @Test func certificateChangesItsSecretAlone() throws {
        let tls = TCPOptions(tls: TLSOptions(mode: .offload(Example.secret)))
        let documents = try ["chain\n", "renewed\n"].map { chain in
            renderEnvoy(
                Example.input([
                    try EnvoyBinding(
                        name: "web", listenPort: Port(443), tunnelPort: Port(443), transport: .tcp(tls),
                        certificate: .given(TLSMaterial(certificateChain: chain, privateKey: "key\n")))
                ]))
        }
        #expect(documents[0].listeners == documents[1].listeners)
        #expect(documents[0].clusters == documents[1].clusters)
        #expect(documents[0].secrets != documents[1].secrets)
        #expect(Set(documents[0].tlsFiles.map(\.name)).isDisjoint(with: documents[1].tlsFiles.map(\.name)))
    }

    @Test func drainTimeHasWholeSecondsAndAtLeastOne() throws {
        let seconds = try ["0s", "1500ms", "15m"].map { text in
            renderEnvoy(Example.input([], edge: EdgeSpec(drainTimeout: try GoDuration(parsing: text)))).drainSeconds
        }
        #expect(seconds == [1, 1, 900])
    }

    /// Each uplink is asked once a second at least; what no prober could keep up with is held at the ends.
    @Test(arguments: [
        ("5s", "2s", 1000, 2000), ("500ms", "1s", 500, 1000), ("100ms", "50ms", 100, 100), ("1h", "10m", 1000, 600_000),
    ])
    func probesAreQuick(interval: String, timeout: String, milliseconds: Int, patience: Int) throws {
        let check = HealthCheckSpec(
            interval: try GoDuration(parsing: interval), timeout: try GoDuration(parsing: timeout), unhealthyThreshold: 3)
        let probes = try #require(renderEnvoy(Example.input([], edge: EdgeSpec(healthCheck: check))).probes)
        #expect(probes.intervalMilliseconds == milliseconds && probes.timeoutMilliseconds == patience)
        #expect(probes.unhealthyThreshold == 3)
    }

    private static func paths(in json: Any) -> [String] {
        switch json {
        case let object as [String: Any]: object.values.flatMap(paths)
        case let array as [Any]: array.flatMap(paths)
        case let text as String: [text]
        default: []
        }
    }

    /// Bindings of all modes, some of which share a port.
    private static func someBindings(_ random: inout Lottery) throws -> [EnvoyBinding] {
        try (0..<Int.random(in: 1...40, using: &random)).map { index in
            let name = "b-\(index)"
            let tcpPort = 1000 + index
            switch Int.random(in: 0..<7, using: &random) {
            case 0: return try Example.udp(name, tcpPort)
            case 1: return try Example.tcp(name, tcpPort, TCPOptions(proxyProtocol: .v2))
            case 2: return try Example.tls(name, 443, .passthrough, ["\(name).a", "*.\(name).b"], tunnelPort: 20000 + index)
            case 3: return try Example.tls(name, 443, .offload(Example.secret), ["\(name).a"], tunnelPort: 20000 + index)
            case 4: return try Example.tls(name, 443, .mutual(Example.secret), ["\(name).a"], tunnelPort: 20000 + index)
            case 5: return try Example.tls(name, tcpPort, .mutual(Example.secret))
            default: return try Example.tcp(name, tcpPort)
            }
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014): the same seed gives the same test.
struct Lottery: RandomNumberGenerator {
    var state: UInt64

    mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        var z = state
        z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }
}
