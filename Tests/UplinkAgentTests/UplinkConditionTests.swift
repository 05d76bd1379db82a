import HostNetwork
import NFTables
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
        #expect(working().reasonAgainst(Moment(wall: 1180, steady: .zero)) == nil)
        #expect(
            working().reasonAgainst(Moment(wall: 1181, steady: .zero))
                == "the last handshake with the relay is 181 s old, more than 180 s")
        // A clock set back is no reason.
        #expect(working().reasonAgainst(Moment(wall: 900, steady: .zero)) == nil)
        var condition = working()
        condition.watcherLives = false
        #expect(condition.reasonAgainst(Moment(wall: 1000, steady: .zero))?.hasPrefix("the watcher") == true)
        condition = working()
        condition.lastHandshake = nil
        #expect(condition.reasonAgainst(Moment(wall: 1000, steady: .zero))?.hasPrefix("no handshake") == true)
        condition.relayProblem = .relayUnresolvable(name: "relay.example", reason: "Name or service not known")
        #expect(
            condition.reasonAgainst(Moment(wall: 1000, steady: .zero))?.hasPrefix("cannot resolve the relay's name relay.example")
                == true)
        condition = working()
        condition.isDraining = true
        #expect(condition.reasonAgainst(Moment(wall: 1000, steady: .zero))?.hasPrefix("stopping") == true)
        #expect(
            UplinkCondition(ordinal: 0).reasonAgainst(Moment(wall: 1000, steady: .zero)) == "no document has been applied yet")
    }

    /// A session that was begun anew has no handshake until the device is looked at again, a second later.
    @Test func whoeverIsHeardThroughTheTunnelNeedsNoHandshakeToShow() {
        var condition = working()
        condition.lastHandshake = nil
        let now = Moment(wall: 1000, steady: .zero)
        #expect(condition.reasonAgainstItself(now)?.hasPrefix("no handshake") == true)
        #expect(condition.reasonAgainstItself(now, isHeard: true) == nil)
        condition.isDraining = true
        #expect(condition.reasonAgainstItself(now, isHeard: true)?.hasPrefix("stopping") == true)
    }

    @Test func onlyABrokenDocumentLeavesItReady() {
        var condition = working()
        condition.problem = .documentInvalid(path: "d.json", reason: "not valid JSON")
        #expect(condition.reasonAgainst(Moment(wall: 1000, steady: .zero)) == nil)
        let report = condition.report(Moment(wall: 1000, steady: .zero))
        #expect(report.ready)
        #expect(
            report.reason
                == "the document d.json is invalid: not valid JSON; the document \(SHA256.digest(of: "document")) stays in force")
        for problem in [UplinkError.notListed(ordinal: 1), .host(cause: "h"), .forwardingOff(reason: "r")] {
            condition.problem = problem
            #expect(condition.reasonAgainst(Moment(wall: 1000, steady: .zero)) == "\(problem)")
        }
    }

    @Test func oneEndpointThatAnswersIsEnough() throws {
        var condition = working()
        var forward = try sampleForward("web", .tcp, 80, to: "10.244.0.1")
        let endpoints = try (1...2).map { Endpoint(address: try IPv4Address(parsing: "10.244.0.\($0)"), port: try Port(80)) }
        forward.endpoints = endpoints
        condition.forwards = [forward]
        let probes = condition.probeTargets(of: forward)
        func told() -> TargetReport? { condition.targetReports.first }
        condition.reachability[probes[0]] = .fails("connection refused")
        #expect(told() == TargetReport(binding: "web", reachable: nil), "the other is not known yet")
        condition.reachability[probes[1]] = .answers
        #expect(told() == TargetReport(binding: "web", reachable: true))
        condition.reachability[probes[1]] = .fails("no route to host")
        #expect(told() == TargetReport(binding: "web", reachable: false, message: "connection refused"))
    }

    @Test func theReportTellsOfEveryBinding() throws {
        var condition = working()
        condition.forwards = [
            try sampleForward("web", .tcp, 80), try sampleForward("alias", .tcp, 80), try sampleForward("dns", .udp, 53),
        ]
        condition.reachability[ProbeTarget(condition.forwards[0])] = .fails("connection refused")
        condition.counters.repairs = 2
        condition.lastRepair = [.ruleset(.create)]
        let report = condition.report(Moment(wall: 1007, steady: .zero))
        #expect(report.repairs == 2 && report.lastRepair == "nftables: made table ip tidegate")
        #expect(report.handshakeAge == 7)
        #expect(
            report.targets == [
                TargetReport(binding: "web", reachable: false, message: "connection refused"),
                TargetReport(binding: "alias", reachable: false, message: "connection refused"),
                TargetReport(binding: "dns", reachable: nil),
            ])
        let metrics = Metrics.text(of: condition, Moment(wall: 1007, steady: .zero))
        #expect(metrics.contains("\ntidegate_uplink_ready 1\n"))
        #expect(metrics.contains("\ntidegate_uplink_target_reachable{binding=\"web\"} 0\n"))
        #expect(!metrics.contains("binding=\"dns\""))
        #expect(metrics.contains("\ntidegate_uplink_bindings 3\n"))
    }
}
