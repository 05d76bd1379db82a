import EnvoyConfig
import Fixtures
import Foundation
import JSON
import NetworkTypes
import NodeDocument
import Testing

@Suite struct RenderEnvoyTests {
    @Test(arguments: 0..<20) func orderOfInputChangesNothing(seed: UInt64) throws {
        var random = Lottery(state: seed)
        let bindings = try Self.someBindings(&random)
        let uplinks = Array(0..<Int.random(in: 1...5, using: &random))
        let expected = Self.texts(try Example.configuration(bindings, uplinks: uplinks))
        let other = try Example.configuration(
            bindings.shuffled(using: &random), uplinks: uplinks.shuffled(using: &random))
        #expect(Self.texts(other) == expected)
    }

    private static let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)

    /// All that Envoy gets.
    private static func texts(_ configuration: EnvoyConfiguration) -> [String] {
        let files = [configuration.bootstrapFile(on: host)] + configuration.files(on: host)
        return files.map { "\($0.path) \($0.contents)" } + configuration.bindings.map { configuration.cluster($0).json }
            + configuration.listeners.map { configuration.resource($0, on: host).json }
    }

    @Test(arguments: 0..<20) func everythingReferredToIsThere(seed: UInt64) throws {
        var random = Lottery(state: seed)
        let bindings = try Self.someBindings(&random)
        let configuration = try Example.configuration(bindings)
        let host = Self.host
        let files = configuration.files(on: host) + [configuration.bootstrapFile(on: host)]
        let paths = Set(files.map(\.path))
        #expect(paths.count == files.count)
        let resources =
            configuration.listeners.map { ($0.name, configuration.resource($0, on: host).json) }
            + configuration.bindings.map { ($0.name, configuration.cluster($0).json) }
        for (name, text) in resources + files.filter({ $0.path.hasSuffix(".json") }).map({ ($0.path, $0.contents) }) {
            let json = try JSONSerialization.jsonObject(with: Data(text.utf8))
            for path in Self.paths(in: json) where path.hasPrefix("./") {
                #expect(paths.contains(String(path.dropFirst(2))), "\(name) refers to \(path)")
            }
        }
        #expect(configuration.bindings.map(\.name) == bindings.map(\.name).sorted())
        #expect(configuration.listeners.flatMap(\.bindings).sorted() == bindings.map(\.name).sorted())
        #expect(Set(configuration.listeners.map(\.name)).count == configuration.listeners.count)
        #expect(configuration.probes.tunnelPorts.keys.sorted() == bindings.map(\.name).sorted())
    }

    @Test func replicasChangeTheProbesAndTheBridgeAlone() throws {
        let bindings = [try Example.tcp("web", 80), try Example.udp("dns", 53)]
        let two = try Example.configuration(bindings)
        let three = try Example.configuration(bindings, uplinks: [0, 1, 2])
        #expect(two.listeners == three.listeners)
        for listener in two.listeners where !listener.isBridge {
            #expect(two.resource(listener, on: Self.host) == three.resource(listener, on: Self.host))
        }
        for binding in bindings { #expect(two.cluster(binding) == three.cluster(binding)) }
        #expect(two.probes != three.probes)
        #expect(three.probes.uplinks.map(\.ordinal) == [0, 1, 2])
        #expect(two.bootstrap(on: Self.host) == three.bootstrap(on: Self.host))
    }

    @Test func certificateChangesItsSecretAlone() throws {
        let both = try ["chain\n", "renewed\n"].map { chain in
            let material = TLSMaterial(certificateChain: chain, privateKey: "key\n")
            return try Example.configuration([
                try Example.tcp("web", 443, RelayTCP(tls: RelayTLS(mode: .offload, material: material)))
            ])
        }
        for (first, second) in zip(both[0].bindings, both[1].bindings) {
            #expect(both[0].cluster(first) == both[1].cluster(second))
        }
        #expect(both[0].listeners == both[1].listeners)
        for listener in both[0].listeners {
            #expect(both[0].resource(listener, on: Self.host) == both[1].resource(listener, on: Self.host))
        }
        #expect(both[0].secrets.map(\.resource) != both[1].secrets.map(\.resource))
        let files = both.map { Set($0.secrets.flatMap(\.files).map(\.name)) }
        #expect(files[0].isDisjoint(with: files[1]))
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
    private static func someBindings(_ random: inout Lottery) throws -> [RelayBinding] {
        try (0..<Int.random(in: 1...40, using: &random)).map { index in
            let name = "b-\(index)"
            let tcpPort = 1000 + index
            switch Int.random(in: 0..<7, using: &random) {
            case 0: return try Example.udp(name, tcpPort)
            case 1: return try Example.tcp(name, tcpPort, RelayTCP(proxyProtocol: .v2))
            case 2: return try Example.tls(name, 443, .passthrough, ["\(name).a", "*.\(name).b"], tunnelPort: 20000 + index)
            case 3: return try Example.tls(name, 443, .offload, ["\(name).a"], tunnelPort: 20000 + index)
            case 4: return try Example.tls(name, 443, .mutual, ["\(name).a"], tunnelPort: 20000 + index)
            case 5: return try Example.tls(name, tcpPort, .mutual)
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
