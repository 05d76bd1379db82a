import EdgeAPI
import EnvoyConfig
import Foundation
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
                "config": Sample.document([plain], maxConnections: 5),
                "added": Sample.document([plain, added], maxConnections: 5),
            ], settings: ["backends": Sample.backendPorts, "cap": 5], stage: stage)
        #expect(seen["held"] == "true")
        #expect(seen["over the cap"] == #""closed""#)
        #expect(seen["bridge at the cap"] == #""HTTP/1.1 200 OK""#)
        #expect(seen["update through the bind mount"] == "true")
        #expect(seen["the added"] == #""hello""#)
    }

    @Test func twoThousandConnectionsOfOneBinding() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let document = Sample.document([try Sample.tcp("plain", 8080, to: 18080), try Sample.tcp("nobody", 8081, to: 19999)])
        let seen = try Scenario("crowd", ["config": document], settings: ["backends": Sample.backendPorts], stage: stage)
        #expect(seen["held"] == "2000")
        #expect(seen["refused target"] == #""closed""#)
        #expect(seen["refused fast"] == "true")
        #expect(seen["ejected at once"] == "true")
    }
}
