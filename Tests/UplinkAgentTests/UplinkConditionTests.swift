import HTTPTypes
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import UplinkAgent

@Suite struct UplinkConditionTests {
    private func working() -> UplinkCondition {
        var condition = UplinkCondition(ordinal: 1)
        condition.hash = SHA256.digest(of: "document")
        condition.watcherLives = true
        condition.lastHandshake = 1000
        return condition
    }

    @Test func readyMeansAppliedFreshAndWatched() {
        #expect(working().reasonAgainst(now: 1180) == nil)
        #expect(working().reasonAgainst(now: 1181) == "the last handshake with the relay is 181 s old, more than 180 s")
        // A clock set back is no reason.
        #expect(working().reasonAgainst(now: 900) == nil)
        var condition = working()
        condition.watcherLives = false
        #expect(condition.reasonAgainst(now: 1000)?.hasPrefix("the watcher") == true)
        condition = working()
        condition.lastHandshake = nil
        #expect(condition.reasonAgainst(now: 1000)?.hasPrefix("no handshake") == true)
        condition.relayProblem = .relayUnresolvable(name: "relay.example", reason: "Name or service not known")
        #expect(condition.reasonAgainst(now: 1000)?.hasPrefix("cannot resolve the relay's name relay.example") == true)
        condition = working()
        condition.isDraining = true
        #expect(condition.reasonAgainst(now: 1000)?.hasPrefix("stopping") == true)
        #expect(UplinkCondition(ordinal: 0).reasonAgainst(now: 1000) == "no document has been applied yet")
    }

    @Test func onlyABrokenDocumentLeavesItReady() {
        var condition = working()
        condition.problem = .documentInvalid(path: "d.json", reason: "not valid JSON")
        #expect(condition.reasonAgainst(now: 1000) == nil)
        let report = condition.report(now: 1000)
        #expect(report.ready)
        #expect(
            report.reason
                == "the document d.json is invalid: not valid JSON; the document \(SHA256.digest(of: "document")) stays in force")
        for problem in [UplinkError.notListed(ordinal: 1), .host(cause: "h"), .forwardingOff(reason: "r")] {
            condition.problem = problem
            #expect(condition.reasonAgainst(now: 1000) == "\(problem)")
        }
    }

    @Test func theReportTellsOfEveryBinding() throws {
        var condition = working()
        condition.forwards = [
            try sampleForward("web", .tcp, 80), try sampleForward("alias", .tcp, 80), try sampleForward("dns", .udp, 53),
        ]
        condition.reachability[ProbeTarget(condition.forwards[0])] = .fails("connection refused")
        condition.counters.repairs = 2
        condition.lastRepair = "nftables: made table ip tidegate"
        let report = condition.report(now: 1007)
        #expect(report.repairs == 2 && report.lastRepair == "nftables: made table ip tidegate")
        #expect(report.handshakeAge == 7)
        #expect(
            report.targets == [
                TargetReport(binding: "web", reachable: false, message: "connection refused"),
                TargetReport(binding: "alias", reachable: false, message: "connection refused"),
                TargetReport(binding: "dns", reachable: nil),
            ])
        let metrics = Metrics.text(of: condition, now: 1007)
        #expect(metrics.contains("\ntidegate_uplink_ready 1\n"))
        #expect(metrics.contains("\ntidegate_uplink_target_reachable{binding=\"web\"} 0\n"))
        #expect(!metrics.contains("binding=\"dns\""))
        #expect(metrics.contains("\ntidegate_uplink_bindings 3\n"))
    }
}

@Suite struct StatusResponderTests {
    private let store = UplinkStore(ordinal: 0)

    @Test(arguments: [
        ("/ready", 503), ("/healthz", 200), ("/status", 200), ("/metrics", 200), ("/ready?x=1", 503), ("/", 404),
        ("/../ready", 404),
    ])
    func everyPathHasItsAnswer(path: String, status: Int) {
        #expect(StatusResponder(store: store).answer(method: .get, path: path, now: 0).status.code == status)
        #expect(StatusResponder(store: store).answer(method: .post, path: path, now: 0).status.code == 405)
    }

    @Test func theStatusIsAReport() throws {
        let answer = StatusResponder(store: store).answer(method: .get, path: "/status", now: 0)
        let report = try DocumentJSON.decode(UplinkReport.self, from: Array(answer.body.utf8))
        #expect(!report.ready)
        #expect(report.reason == "no document has been applied yet")
    }
}
