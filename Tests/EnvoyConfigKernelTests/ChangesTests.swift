import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument
import Testing

@Suite struct ChangesTests {
    /// What is added, changed or removed touches nothing else, and a rotated certificate not even its own connections.
    @Test func connectionsOfOtherBindingsLive() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let certificates = try CertificateFolder(in: stage)
        let first = try certificates.make("first", commonName: "ended.test")
        let second = try certificates.make("second", commonName: "rotated.test")
        func base(_ material: TLSMaterial) throws -> [RelayBinding] {
            [
                try Sample.tcp("plain", 8080, to: 18080), try Sample.udp("dns", 8053, to: 18053),
                try Sample.tls("ended", 8443, to: 18443, .offload, ["ended.test"], material),
            ]
        }
        func added(_ options: RelayTCP, _ material: TLSMaterial) throws -> [RelayBinding] {
            try base(material) + [
                try Sample.tcp("added", 8090, to: 18090, options),
                try Sample.tls("more", 8443, to: 18443, .offload, ["more.test"], first),
            ]
        }
        let seen = try Scenario(
            "updates",
            [
                "config": try Sample.configuration(try base(first)),
                "added": try Sample.configuration(try added(RelayTCP(), first)),
                "changed": try Sample.configuration(
                    try added(RelayTCP(connectTimeout: .seconds(7), idleTimeout: .seconds(70)), first)),
                "rotated": try Sample.configuration(
                    try added(RelayTCP(connectTimeout: .seconds(7), idleTimeout: .seconds(70)), second)),
            ], settings: ["backends": Sample.backendPorts], stage: stage)
        let alive = #"["hello","hello",true]"#
        #expect(seen["before"] == alive)
        #expect(seen["added: first byte in 1 s"] == "true")
        #expect(seen["added: held"] == alive)
        #expect(seen["keepalive"] == #"{"8080":true,"18080":true}"#)
        #expect(seen["added: new name on the port"] == #""ended.test""#)
        #expect(seen["in place"] == "1")
        #expect(seen["changed: held"] == alive)
        #expect(seen["changed: own connection"] == #""hello""#)
        #expect(seen["changed: clusters"] == "1")
        #expect(seen["rotated: held"] == alive)
        #expect(seen["rotated: seen after the old files went"] == #""rotated.test""#)
        #expect(seen["removed: held"] == alive)
        #expect(seen["removed: own connection drains"] == #"["hello","closed"]"#)
        #expect(seen["removed: others after the drain"] == alive)
        #expect(seen["rejected"] == "{}")
    }

    @Test func uplinksComeAndGo() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let bindings = [try Sample.tcp("plain", 8080, to: 18080), try Sample.udp("dns", 8053, to: 18053)]
        let seen = try Scenario(
            "replicas",
            ["config": try Sample.configuration(bindings), "three": try Sample.configuration(bindings, uplinks: 3)],
            settings: ["backends": Sample.backendPorts, "uplinks": Sample.uplinks.map(\.address.description)], stage: stage)
        #expect(seen["both used"] == "2")
        #expect(seen["three: held"] == "[true,true]")
        #expect(seen["three: all used"] == "3")
        #expect(seen["503: out within an interval"] == "true")
        #expect(seen["503: used"] == #"["10.200.0.2","10.200.0.4"]"#)
        #expect(seen["503: held"] == "[true]")
        #expect(seen["200: back soon"] == "true")
        #expect(seen["silent: out"] == "true")
        #expect(seen["two: held"] == "[true]")
        #expect(seen["none: new connection"] == #""closed""#)
        #expect(seen["none: fails fast"] == "true")
        #expect(seen["none: held"] == "[true]")
    }

    @Test func badListenerHarmsNoOther() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let plain = try Sample.tcp("plain", 8080, to: 18080)
        let more = try [8090, 8092].map { try Sample.tcp("b\($0)", $0, to: 18090) }
        // As no API takes it.
        let wrong = try Sample.tls("b8091", 8091, to: 18090, .passthrough, ["a*.example"])
        let bad = try Sample.configuration([plain, wrong] + more)
        let seen = try Scenario(
            "refusals", ["config": try Sample.configuration([plain]), "bad": bad],
            settings: ["backends": Sample.backendPorts], stage: stage)
        #expect(seen["before"] == #""hello""#)
        #expect(seen["held"] == #""hello""#)
        #expect(seen["new beside the bad"] == #""hello""#)
        #expect(
            seen["counters"] == #"{"lds.update_rejected":1,"lds.update_success":1,"listener_create_failure":1}"#,
            "one refusal counts for the whole list, and a bind that failed counts in a counter of its own")
        #expect(seen["listeners"] == #"["bridge","tcp-8080","tcp-8092"]"#)
        #expect(seen["errors"].contains(#""tcp-8090":"cannot bind '[::]:8090': Address already in use""#), "\(seen["errors"])")
        #expect(seen["errors"].contains(#""tcp-8091":"error adding listener '[::]:8091': partial wildcards are not supported"#))
    }
}
