import EnvoyConfig
import Foundation
import JSON
import NetworkTypes
import NodeDocument
import Testing

@Suite struct EnvoyFilesTests {
    private static func configuration() throws -> EnvoyConfiguration {
        try Example.configuration([
            try Example.tcp("web", 80), try Example.udp("dns", 53), try Example.tls("api", 443, .mutual),
        ])
    }

    private static let host = EnvoyHost(hasIPv6: true, memoryBytes: 1 << 30)

    private static func listeners(hasIPv6: Bool) throws -> String {
        let configuration = try configuration()
        let host = EnvoyHost(hasIPv6: hasIPv6, memoryBytes: 1 << 30)
        return configuration.listeners.map { configuration.resource($0, on: host).json }.joined(separator: "\n")
    }

    private static func occurrences(of address: String, in text: String) -> Int {
        text.components(separatedBy: "\"address\":{\"socket_address\":{\(address)}}").count - 1
    }

    @Test func publicListenersTakeBothFamilies() throws {
        let text = try Self.listeners(hasIPv6: true)
        for (port, name) in [(80, "TCP"), (443, "TCP"), (53, "UDP")] {
            let address = #""address":"::","ipv4_compat":true,"port_value":\#(port),"protocol":"\#(name)""#
            #expect(Self.occurrences(of: address, in: text) == 1)
        }
        #expect(Self.occurrences(of: #""address":"10.200.0.1","port_value":40600,"protocol":"TCP""#, in: text) == 1)
    }

    @Test func hostWithoutIPv6ListensOnIPv4() throws {
        let text = try Self.listeners(hasIPv6: false)
        for (port, name) in [(80, "TCP"), (443, "TCP"), (53, "UDP")] {
            let address = #""address":"0.0.0.0","port_value":\#(port),"protocol":"\#(name)""#
            #expect(Self.occurrences(of: address, in: text) == 1)
        }
        #expect(Self.occurrences(of: #""address":"10.200.0.1","port_value":40600,"protocol":"TCP""#, in: text) == 1)
    }

    @Test func listenersComeByPort() throws {
        #expect(try Self.configuration().listeners.map(\.name) == ["bridge", "udp-53", "tcp-80", "tcp-443"])
    }

    @Test func filesComeAfterWhatTheyReferTo() throws {
        let kinds = try Self.configuration().files(on: Self.host).map(\.kind)
        #expect(
            kinds == [
                .certificate, .certificate, .privateKey, .secret, .secret, .probes, .limits,
            ])
    }

    @Test func heapLimitIsHalfTheMemoryInWholeSteps() throws {
        let configuration = try Self.configuration()
        for (memory, limit) in [(2_050_000_000, 1_006_632_960), (2_060_000_000, 1_006_632_960), (1, 134_217_728)] {
            let text = configuration.bootstrapFile(on: EnvoyHost(hasIPv6: true, memoryBytes: memory)).contents
            #expect(text.contains("\"max_heap_size_bytes\":\(limit)}"))
        }
    }

    @Test func connectionsFollowTheFilesThatTheHostAllows() throws {
        let configuration = try Self.configuration()
        let bootstrap = configuration.bootstrapFile(on: Self.host)
        for (files, all) in [(1 << 20, 32768), (20000, 6562), (1000, 328), (8, 2), (0, 1)] {
            var host = Self.host
            host.openFiles = files
            let limits = try #require(configuration.files(on: host).first { $0.kind == .limits })
            #expect(limits.contents.contains(#""overload.global_downstream_max_connections":\#(all)}"#), "\(files)")
            #expect(configuration.bootstrapFile(on: host) == bootstrap, "a change would restart Envoy")
        }
    }

    /// Each port and each UDP binding has its part, and the bridge its own.
    @Test func limitsAreToldByPortAndBinding() throws {
        let configuration = try Example.configuration([
            try Example.tcp("web", 80), try Example.udp("dns", 53), try Example.udp("game", 54), try Example.tcp("mail", 25),
            try Example.tls("a", 443, .offload, ["a.example"]), try Example.tls("b", 443, .offload, ["b.example"]),
        ])
        let file = try #require(configuration.files(on: Self.host).first { $0.kind == .limits })
        let uplinks = configuration.probes.uplinks.count
        for limit in [
            #""envoy.resource_limits.listener.tcp-80.connection_limit":10922"#,
            #""envoy.resource_limits.listener.tcp-443.connection_limit":10922"#,
            #""envoy.resource_limits.listener.bridge.connection_limit":\#(8 + 4 * uplinks)"#,
            #""circuit_breakers.a.default.max_connections":5461"#, #""circuit_breakers.b.default.max_connections":5461"#,
            #""circuit_breakers.dns.default.max_connections":11059"#, #""circuit_breakers.game.default.max_connections":11059"#,
        ] { #expect(file.contents.contains(limit), "\(limit)") }
        #expect(!file.contents.contains("circuit_breakers.web."))
        #expect(configuration.bootstrapFile(on: Self.host).contents.contains(#""path":"./limits.json""#))
    }

    /// A binding on the links' port is flooded without them, and strangers at their door do not keep uplinks out.
    @Test func linksHavePartOfTheirPort() throws {
        var content = try Example.content([try Example.tls("a", 443, .offload, ["a.example"])], uplinks: [0, 1])
        let without = try #require(EnvoyConfiguration(content).files(on: Self.host).first { $0.kind == .limits })
        #expect(!without.contents.contains("circuit_breakers"))
        content.link = RelayLink(
            carriers: [.tls], listenPort: .defaultLink, hostname: "x.example", path: "/secret", uplinks: [])
        let file = try #require(EnvoyConfiguration(content).files(on: Self.host).first { $0.kind == .limits })
        for limit in [
            #""envoy.resource_limits.listener.tcp-443.connection_limit":24576"#,
            #""circuit_breakers.a.default.max_connections":9216"#,
            #""circuit_breakers.link_tls.default.max_connections":24576"#,
            #""circuit_breakers.link_websocket.default.max_connections":24576"#,
        ] { #expect(file.contents.contains(limit), "\(limit)") }
    }

    /// Whoever is alone would be refused for seconds, though it may take connections again.
    @Test(arguments: 1...3) func aLoneUplinkIsNotTakenOutByFailures(_ count: Int) throws {
        let configuration = try Example.configuration([try Example.tcp("web", 80)], uplinks: Array(0..<count))
        let file = try #require(configuration.files(on: Self.host).first { $0.kind == .limits })
        let switchedOff = #""outlier_detection.enforcing_consecutive_local_origin_failure":0"#
        #expect(file.contents.contains(switchedOff) == (count == 1))
    }

    /// Strangers hold no connection of a backend before they have shaken hands; an older Envoy knows no such thing.
    @Test(arguments: [("1.40.0", true), ("1.37.0", true), ("2.0.0", true), ("1.36.2", false), ("next", false)])
    func handshakesComeFirst(_ version: String, _ waits: Bool) throws {
        var content = try Example.content([
            try Example.tcp("web", 80), try Example.tls("api", 443, .mutual), try Example.tls("through", 444, .passthrough),
        ])
        content.envoy.release.version = version
        let configuration = EnvoyConfiguration(content)
        for listener in configuration.listeners {
            let mode = #""upstream_connect_mode":"ON_DOWNSTREAM_TLS_HANDSHAKE""#
            let text = configuration.resource(listener, on: Self.host).json
            #expect(text.contains(mode) == (waits && listener.name == "tcp-443"), "\(listener.name)")
        }
    }

    @Test func theBridgeShowsWhatItMay() throws {
        func bridge(_ access: BridgeAccess) throws -> String? {
            let configuration = EnvoyConfiguration(try Example.content([], bridge: access))
            return configuration.listeners.first { $0.name == "bridge" }.map { configuration.resource($0, on: Self.host).json }
        }
        #expect(try bridge(.readOnly)?.contains("config_dump") == true)
        let metrics = try #require(try bridge(.metrics))
        #expect(!metrics.contains("config_dump") && !metrics.contains(#""path":"/stats""#))
        #expect(metrics.contains(#""path":"/stats/prometheus""#) && metrics.contains(#""path":"/ready""#))
        #expect(try bridge(.off) == nil)
    }

    /// One uplink's clients take nothing of another's, and who is no uplink gets nothing.
    @Test func eachUplinkHasItsPartOfTheBridge() throws {
        let configuration = try Example.configuration([], uplinks: [0, 7])
        let listener = try #require(configuration.listeners.first { $0.isBridge })
        guard case .object(let members) = configuration.resource(listener, on: Self.host),
            case .array(let chains)? = members.first(where: { $0.key == "filter_chains" })?.value
        else { throw DecodingError.dataCorrupted(.init(codingPath: [], debugDescription: "the bridge has no chains")) }
        let texts = chains.map(\.json)
        #expect(texts.count == 3 && texts.allSatisfy { $0.contains(#""max_connections":4,"#) })
        for (text, address) in zip(texts, ["10.200.0.2", "10.200.0.9", "10.200.0.1"]) {
            #expect(text.contains(#"{"address_prefix":"\#(address)","prefix_len":32}"#))
        }
        #expect(!members.contains { $0.key == "default_filter_chain" })
        let limits = try #require(configuration.files(on: Self.host).first { $0.kind == .limits })
        #expect(limits.contents.contains(#""envoy.resource_limits.listener.bridge.connection_limit":16"#), "more than all parts")
    }

    @Test func watchedFilesAreCounted() throws {
        // The prober's, the limits, the certificate and the CA of api with their files.
        #expect(try Self.configuration().envoy.inotifyInstances == 2 + 2 * 2)
    }

    @Test func nothingPrintsAKey() throws {
        let configuration = try Self.configuration()
        let key = try #require(configuration.files(on: Self.host).first { $0.kind == .privateKey })
        #expect(key.contents == "key\n")
        #expect(!"\(key)\(String(reflecting: key))\(Example.material)\(String(reflecting: Example.material))".contains("key\n"))
    }
}
