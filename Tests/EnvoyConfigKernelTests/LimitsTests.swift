import EnvoyConfig
import Foundation
import NetworkTypes
import NodeDocument
import Testing

@Suite struct LimitsTests {
    @Test func capCountsAllAndSparesTheBridge() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let plain = try Sample.tcp("plain", 8080, to: 18080)
        let added = try Sample.tcp("added", 8090, to: 18090)
        let seen = try Scenario(
            "limits",
            [
                "config": try Sample.configuration([plain], maxConnections: 5),
                "added": try Sample.configuration([plain, added], maxConnections: 5),
            ], settings: ["backends": Sample.backendPorts, "cap": 5], stage: stage)
        #expect(seen["held"] == "true")
        #expect(seen["over the cap"] == #""closed""#)
        #expect(seen["bridge at the cap"] == #""HTTP/1.1 200 OK""#)
        #expect(seen["update through the bind mount"] == "true")
        #expect(seen["the added"] == #""hello""#)
    }

    /// One port or binding that is attacked loses its own new clients, and nobody else anything.
    @Test func attackedPortsLeaveTheOthersTheirPart() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let material = try CertificateFolder(in: stage).make("ended", commonName: "ended")
        let bindings = [
            try Sample.tcp("plain", 8080, to: 18080),
            try Sample.tls("shop", 8443, to: 18081, .passthrough, ["shop.example"]),
            try Sample.tls("blog", 8443, to: 18082, .passthrough, ["blog.example"]),
            try Sample.tls("ended", 8444, to: 18443, .offload, [], material),
            try Sample.udp("dns", 8053, to: 18053), try Sample.udp("game", 8054, to: 18054),
        ]
        let added = bindings + [try Sample.udp("more", 8055, to: 18054)]
        let seen = try Scenario(
            "attacks",
            [
                "config": try Sample.configuration(bindings, maxConnections: 200),
                "added": try Sample.configuration(added, maxConnections: 200),
            ], settings: ["backends": Sample.backendPorts], stage: stage)
        #expect(seen["session before"] == #""hello""#)
        #expect(seen["sessions of the attacked"] == "true")
        #expect(seen["session goes on"] == #""hello""#)
        #expect(seen["sessions of another"] == "50")
        #expect(seen["another port"] == "60")
        #expect(seen["backend before the handshake"] == "0")
        #expect(seen["after it"] == #""ended""#)
        #expect(seen["another uplink's bridge"] == #""HTTP/1.1 200 OK""#)
        #expect(seen["a stranger's bridge"] == #""closed""#)
        #expect(seen["bridge took"] == "4")
        #expect(seen["bridge after it"] == #""HTTP/1.1 200 OK""#)
        #expect(seen["update"] == "true")
        #expect(seen["session after it"] == #""hello""#)
    }

    /// The runtime's word is Envoy's deed: the same failures take out one of two.
    @Test(arguments: [1, 2]) func loneUplinkIsNotEjected(_ uplinks: Int) throws {
        let stage = try Stage()
        defer { stage.remove() }
        let configuration = try Sample.configuration([try Sample.tcp("nobody", 8081, to: 19999)], uplinks: uplinks)
        let seen = try Scenario(
            "ejections", ["config": configuration],
            settings: ["backends": Sample.backendPorts, "uplinks": Sample.uplinks.prefix(uplinks).map(\.address.description)],
            stage: stage)
        #expect(seen["ejected"] == "\(uplinks > 1)")
    }

    @Test func twoThousandConnectionsOfOneBinding() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let configuration = try Sample.configuration([
            try Sample.tcp("plain", 8080, to: 18080), try Sample.tcp("nobody", 8081, to: 19999),
        ])
        let seen = try Scenario("crowd", ["config": configuration], settings: ["backends": Sample.backendPorts], stage: stage)
        #expect(seen["held"] == "2000")
        #expect(seen["refused target"] == #""closed""#)
        #expect(seen["refused fast"] == "true")
        #expect(seen["ejected at once"] == "true")
    }
}
