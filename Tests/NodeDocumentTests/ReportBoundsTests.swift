import Fixtures
import Testing

@testable import NodeDocument

/// What is read of a report, whoever wrote it.
@Suite struct ReportBoundsTests {
    private let bounds: ReportBounds

    init() throws { bounds = ReportBounds(of: try fullRelayDocument().content) }

    @Test func anHonestReportIsKeptAsItIs() throws {
        let report = try fullAgentReport()
        let kept = try bounds.report(from: DocumentJSON.encode(report))
        #expect(kept.changes == report.changes && kept.problems == report.problems && kept.hash == report.hash)
        #expect(kept.agentBuild == report.agentBuild && kept.drift == report.drift && kept.envoyVersion == report.envoyVersion)
    }

    @Test(arguments: [
        #"{"drift":["# + String(repeating: #""","#, count: 300_000) + #"""]}"#,
        String(repeating: "[", count: 100_000), String(repeating: " ", count: 2 << 20),
        #"{"a":"# + String(repeating: "9", count: 1_000_000) + "}",
        #"{"a":""# + String(repeating: "x", count: 100_000) + #""}"#,
        "{" + String(repeating: #""a":1,"#, count: 100_000) + "}",
    ])
    func whatCostsTooMuchIsNotDecoded(text: String) throws {
        let error = #expect(throws: DocumentError.self) { try bounds.check(Array(text.utf8)) }
        #expect(error?.message.hasPrefix("more than a report may be: ") == true)
        #expect(throws: DocumentError.self) { try bounds.report(from: Array(text.utf8)) }
    }

    @Test func onlyWhatTheDocumentKnowsIsKept() throws {
        var report = try fullAgentReport()
        report.listeners = (0..<100).map { ListenerReport(name: "tcp-\($0)", state: .portInUse, message: "no") }
        report.starved = ["nobody's"]
        report.missingSecrets = ["nobody's"]
        report.peers += report.peers
        let kept = bounds.kept(report)
        let names = Set(try fullRelayDocument().content.listeners.map(\.name))
        #expect(Set(kept.listeners.map(\.name)).isSubset(of: names))
        #expect(kept.starved.isEmpty && kept.missingSecrets == [])
        #expect(kept.peers.count <= 1)
    }

    @Test func textsAreCutAndPlain() throws {
        var report = try fullAgentReport()
        report.drift = (0..<1000).map { "\($0)\u{1B}[2J\n" }
        report.problems = (0..<1000).map { AgentProblem(kind: .system, message: "\($0)") }
        report.tunnelDropped = String(repeating: "é", count: 5000)
        report.sshObstacle = String(repeating: "é", count: 5000)
        report.sshHostKey = "ssh-ed25519 AAAA"
        report.wireGuardKind = "\u{202E}kernel"
        report.caveats = ["say \"it\""]
        let kept = bounds.kept(report)
        #expect(kept.drift.count == 33 && kept.drift.first == "0\\u{1b}[2J\\n" && kept.drift.last == "and 968 more")
        // The cause comes last.
        #expect(kept.problems.count == 32 && kept.problems.last?.message == "999")
        #expect(kept.tunnelDropped?.count == 1001 && kept.sshObstacle?.count == 1001)
        #expect(kept.sshHostKey == nil, "a host's own word of its key is none")
        #expect(kept.wireGuardKind == "\\u{202e}kernel")
        #expect(kept.caveats == ["say \"it\""])
    }

    @Test(arguments: [(Int.max, nil), (Int.min, 0), (-1, 0), (12, 12), (400_000_000, nil)] as [(Int, Int?)])
    func agesAreThoseOfThisWorld(said: Int, kept: Int?) throws {
        var report = try fullAgentReport()
        let peer = try fullRelayDocument().content.wireGuard.peers[0]
        report.peers[0].publicKey = peer.publicKey
        report.peers[0].handshakeAge = said
        report.peers[0].uplink?.handshakeAge = said
        report.peers[0].uplink?.pathMTU = said
        let read = bounds.kept(report).peers
        #expect(read.count == 1 && read[0].handshakeAge == kept && read[0].uplink?.handshakeAge == kept)
        #expect(read.first?.uplink?.pathMTU == nil)
    }
}
