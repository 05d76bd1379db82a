import EnvoyConfig
import Fixtures
import Foundation
import NodeDocument
import Testing

@Suite struct BridgeTests {
    static let allowed = [
        "/ready", "/stats", "/stats?filter=cluster&format=json", "/stats/prometheus", "/stats/prometheus?usedonly", "/clusters",
        "/clusters?format=json", "/listeners", "/config_dump", "/config_dump?resource=dynamic_listeners", "/server_info",
        "/memory",
        "/certs",
    ]
    /// Other methods, other paths, and paths that only look like another.
    static let refused = [
        "POST /quitquitquit", "GET /quitquitquit", "POST /ready", "HEAD /ready", "PUT /stats", "DELETE /stats", "OPTIONS /ready",
        "POST /drain_listeners", "POST /logging?level=trace", "GET /logging", "POST /healthcheck/fail", "POST /reset_counters",
        "POST /runtime_modify?a=b", "POST /cpuprofiler?enable=y", "GET /", "GET /help", "GET /runtime",
        "GET /hot_restart_version",
        "GET /init_dump", "GET /contention", "GET /tap", "GET /stats/recentlookups", "GET /ready/", "GET //ready", "GET /./ready",
        "GET /READY", "GET /ready;a=b", "GET /ready%3Fx", "GET /%72eady", "GET /ready%00", "GET /stats/../quitquitquit",
        "GET /stats%2f..%2fquitquitquit", "GET /stats/%2e%2e/quitquitquit", "GET /stats//prometheus", "GET /stats\\prometheus",
        "GET /ready/..;/quitquitquit", "GET /quitquitquit?/ready", "GET /quitquitquit%3f/ready",
        "GET http://x/quitquitquit", "GET /x?a=/ready",
    ]

    @Test func bridgeReadsAndDoesNoMore() throws {
        let stage = try Stage()
        defer { stage.remove() }
        let material = try CertificateFolder(in: stage).make("ended", commonName: "ended.test")
        let configuration = try Sample.configuration([try Sample.tls("ended", 8443, to: 18443, .offload, [], material)])
        // A dump holds bytes as base64: the word to look for is the first whole line of the key in it, and the key's own line.
        let words = [
            "PRIVATE KEY", Data(material.privateKey.text.utf8).base64EncodedString().prefix(40).description,
            material.privateKey.text.split(separator: "\n")[1].description,
        ]
        let seen = try Scenario(
            "bridge", ["config": configuration],
            settings: ["allowed": Self.allowed, "refused": Self.refused, "secret words": words], stage: stage)
        for path in Self.allowed { #expect(seen["allowed"].contains("\"\(path)\":200"), "\(path) of \(seen["allowed"])") }
        #expect(seen["refused"].contains(":200") == false, "\(seen["refused"])")
        #expect(seen["refused"].components(separatedBy: ":403").count > Self.refused.count / 2, "\(seen["refused"])")
        #expect(seen["keys told"] == "[]")
        #expect(seen["dump tells"] == "true")
        #expect(seen["alive"] == "true")
        #expect(seen["admin mode"] == #""0o600""#)
    }
}
