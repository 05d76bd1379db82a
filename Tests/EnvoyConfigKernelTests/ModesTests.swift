import EnvoyConfig
import Foundation
import JSON
import NetworkTypes
import NodeDocument
import Testing

@testable import NodeAgent

@Suite struct ModesTests {
    /// Every mode at once, TLS modes mixed on one port.
    static func bindings(_ certificates: CertificateFolder) throws -> [RelayBinding] {
        let ended = try certificates.make("ended", commonName: "ended.test")
        var known = try certificates.make("known", commonName: "known.test")
        known.certificateAuthority = try certificates.make("client", commonName: "client").certificateChain
        return [
            try Sample.tcp("plain", 8080, to: 18080, RelayTCP(idleTimeout: .seconds(0))),
            try Sample.tcp("proxy1", 8081, to: 18081, RelayTCP(proxyProtocol: .v1)),
            try Sample.tcp("proxy2", 8082, to: 18082, RelayTCP(proxyProtocol: .v2)),
            try Sample.udp("dns", 8053, to: 18053),
            try Sample.udp("big", 8054, to: 18054, RelayUDP(maxDatagramBytes: 9000)),
            try Sample.tls("pass-a", 8443, to: 18444, .passthrough, ["a.test"]),
            try Sample.tls("pass-wild", 8443, to: 18445, .passthrough, ["*.wild.test"]),
            try Sample.tls("ended", 8443, to: 18443, .offload, ["ended.test"], ended),
            try Sample.tls("known", 8443, to: 18443, .mutual, ["known.test"], known),
            try Sample.tls("pass-all", 8444, to: 18444, .passthrough),
        ]
    }

    @Test func envoyAcceptsEveryMode() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let certificates = try CertificateFolder(in: stage)
        var bindings = try Self.bindings(certificates)
        let alone = try certificates.make("alone", commonName: "alone.test")
        var known = alone
        known.certificateAuthority = try certificates.make("client", commonName: "client").certificateChain
        bindings.append(try Sample.tls("alone", 8445, to: 18443, .offload, [], alone))
        bindings.append(try Sample.tls("alone-known", 8446, to: 18443, .mutual, [], known))
        let configuration = try Sample.configuration(bindings)
        try stage.write(configuration, to: "config")
        for hasIPv6 in [true, false] {
            let host = EnvoyHost(hasIPv6: hasIPv6, memoryBytes: 1 << 30)
            let validation = configuration.validationBootstrap(
                on: host, listeners: configuration.listeners, bindings: configuration.bindings)
            let refusals = try [validation.json, configuration.bootstrapFile(on: host).contents].map(stage.refusal)
            #expect(refusals == [nil, nil])
        }
    }

    /// Envoy is told in the wire format what we render as JSON: nothing may get lost on the way.
    @Test func wireFormatSaysWhatTheJSONSays() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let certificates = try CertificateFolder(in: stage)
        var bindings = try Self.bindings(certificates)
        let alone = try certificates.make("alone", commonName: "alone.test")
        bindings.append(try Sample.tls("alone", 8445, to: 18443, .offload, [], alone))
        bindings.append(
            try Sample.tcp("slow", 8447, to: 18080, RelayTCP(connectTimeout: GoDuration(nanoseconds: 5_123_456_789))))
        let configuration = try Sample.configuration(bindings)
        try stage.write(configuration, to: "config")
        for (name, type, resources) in [
            ("cds", ResourceSet.clusterType, configuration.bindings.map { configuration.cluster($0) }),
            ("lds", ResourceSet.listenerType, configuration.listeners.map { configuration.resource($0, on: Stage.host) }),
        ] {
            let list = resources.map { "{\"@type\":\"\(type)\",\($0.json.dropFirst())" }.joined(separator: ",")
            try Data("{\"resources\":[\(list)]}".utf8).write(to: stage.root.appending(path: "config/\(name).json"))
        }
        let seen = try Scenario("forms", ["config": configuration], settings: ["backends": Sample.backendPorts], stage: stage)
        #expect(seen["differ"] == "[]")
        let names =
            bindings.map { "cluster \($0.name)" } + configuration.listeners.map { "listener \($0.name)" }
        #expect(seen["names"] == "[\(names.sorted().map { "\"\($0)\"" }.joined(separator: ","))]")
    }

    @Test func keyOfAnotherCertificateIsRefusedByName() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let certificates = try CertificateFolder(in: stage)
        var good = try certificates.make("good", commonName: "good.test")
        let other = try certificates.make("other", commonName: "other.test")
        good.certificateAuthority = other.certificateChain
        var bad = good
        bad.privateKey = other.privateKey
        var worse = good
        worse.certificateAuthority = "-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"
        let configuration = try Sample.configuration([
            try Sample.tls("good", 8443, to: 1, .mutual, ["good.test"], good),
            try Sample.tls("bad", 8443, to: 1, .offload, ["bad.test"], bad),
            try Sample.tls("worse", 8443, to: 1, .mutual, ["worse.test"], worse),
        ])
        try stage.write(configuration, to: "config")
        var refused: [String] = []
        for binding in configuration.bindings {
            let validation = configuration.validationBootstrap(on: Stage.host, listeners: [], bindings: [binding])
            if try stage.refusal(of: validation.json) != nil { refused.append(binding.name) }
        }
        #expect(refused == ["bad", "worse"])
        let left = configuration.listeners.compactMap { $0.without(["bad", "worse"]) }
        let validation = configuration.validationBootstrap(
            on: Stage.host, listeners: left, bindings: configuration.bindings.filter { $0.name == "good" })
        #expect(try stage.refusal(of: validation.json) == nil)
    }

    @Test func everyModeCarriesTraffic() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let certificates = try CertificateFolder(in: stage)
        _ = try certificates.make("backend-a", commonName: "backend-a")
        _ = try certificates.make("backend-b", commonName: "backend-b")
        let bindings = try Self.bindings(certificates)
        _ = try certificates.make("stranger", commonName: "client")
        let configuration = try Sample.configuration(bindings)
        var backends = Sample.backendPorts
        backends["tls"] = [
            "18444": ["\(certificates.path)/backend-a.crt", "\(certificates.path)/backend-a.key"],
            "18445": ["\(certificates.path)/backend-b.crt", "\(certificates.path)/backend-b.key"],
        ]
        let seen = try Scenario(
            "modes", ["config": configuration], settings: ["backends": backends, "certificates": certificates.path], stage: stage)
        #expect(seen["listeners"] == #"["bridge","tcp-8080","tcp-8081","tcp-8082","tcp-8443","tcp-8444","udp-8053","udp-8054"]"#)
        #expect(seen["rejected"] == "{}")
        #expect(seen["inotify"] == "\(configuration.envoy.inotifyInstances - 1)", "the prober's aside")
        #expect(seen["fast start"] == "true")
        #expect(seen["plain"] == "[true,true]")
        #expect(seen["proxy1"].hasPrefix(#"["PROXY TCP4 127.0.0.1 127.0.0.1 "#))
        #expect(seen["proxy1"].contains(#""PROXY TCP6 ::1 ::1 "#))
        // The signature of version 2, command PROXY, TCP over IPv4 with 12 bytes of addresses and over IPv6 with 36.
        let signature = #"\r\n\r\n\u0000\r\nQUIT\n!"#
        #expect(seen["proxy2"] == #"["\#(signature)\u0011\u0000\f","\#(signature)!\u0000$"]"#)
        #expect(seen["probes"] == #"["GET /ready HTTP/1.1"]"#)
        #expect(
            seen["datagrams"]
                == "[[1,true],[1,true],[1400,true],[1400,true],[1500,true],[1500,true],[9000,false],[9000,false],"
                + "[9000,true],[9000,true],[9001,false],[9001,false]]")
        #expect(seen["sessions"] == "true")
        #expect(seen["pass-a"] == #""backend-a""#)
        #expect(seen["pass-wild"] == #""backend-b""#)
        #expect(seen["third name"] == #""refused""#)
        #expect(seen["no name"] == #""refused""#)
        #expect(seen["ended"] == #""ended.test""#)
        #expect(seen["ended in capitals"] == #""ended.test""#)
        #expect(seen["TLS 1.1"] == #""refused""#)
        #expect(seen["known"] == #""known.test""#)
        #expect(seen["known without"] == #""refused""#)
        #expect(seen["known with another"] == #""refused""#)
        #expect(seen["pass-all"] == #""backend-a""#)
        #expect(seen["pass-all in clear"] == #""closed""#)
    }
}
