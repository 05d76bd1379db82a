import EdgeAPI
import Enrollment
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import Testing

@testable import Reconcilers

/// What a PortBinding's status says of each thing that can be wrong. The binding looked at is `web`, TCP 80.
@Suite struct PortBindingVerdictTests {
    private func status(_ outcome: NodeOutcome?, node: EdgeNode? = nil, of binding: PortBinding? = nil) throws
        -> PortBindingStatus
    {
        try portBindingStatus(
            binding ?? goodPortBinding(), node: node ?? edgeNode(), outcome: outcome.map(IndexedOutcome.init), previous: nil,
            now: "NOW")
    }

    private func spoiled(_ body: (inout NodeOutcome) throws -> Void) throws -> NodeOutcome {
        var outcome = try goodOutcome()
        try body(&outcome)
        return outcome
    }

    private func eachUplink(_ outcome: inout NodeOutcome, _ body: (inout UplinkReport) -> Void) {
        for index in outcome.report?.peers.indices ?? 0..<0 {
            guard var uplink = outcome.report?.peers[index].uplink else { continue }
            body(&uplink)
            outcome.report?.peers[index].uplink = uplink
        }
    }

    @Test func tellsThatAllIsWell() throws {
        let status = try status(goodOutcome())
        #expect(
            status.bindings == [
                BindingStatus(
                    name: "web", address: "203.0.113.10:80", target: "10.96.0.10:8080", ready: true, reason: .applied,
                    message: "carries traffic"),
                BindingStatus(
                    name: "dns", address: "203.0.113.10:53", target: "10.96.0.10:8080", ready: true, reason: .applied,
                    message: "carries traffic"),
            ])
        #expect(
            status.conditions.map { "\($0.type) \($0.status.rawValue) \($0.reason): \($0.message)" } == [
                "Programmed True Applied: 2 bindings are in Envoy's configuration",
                "Ready True Applied: 2 bindings carry traffic",
            ])
        #expect(status.observedGeneration == 1)
    }

    @Test func writesIPv6AddressesInBrackets() throws {
        var node = try edgeNode()
        node.spec.address = try HostAddress(parsing: "2001:db8::1")
        #expect(try status(goodOutcome(), node: node).bindings.first?.address == "[2001:db8::1]:80")
    }

    @Test func tellsOfACertificateThatIsKept() throws {
        let outcome = try spoiled { outcome in
            outcome.plan.planned = outcome.plan.planned.map { planned in
                var kept = planned
                kept.problem = planned.id.name == "web" ? "Secret s: gone" : nil
                return kept
            }
        }
        let web = try #require(try status(outcome).bindings.first)
        #expect(web.reason == .tlsSecretIncomplete && web.message == "Secret s: gone" && !web.ready)
        #expect(web.target == "10.96.0.10:8080", "it is served: what is kept now is kept the next time too")
    }

    @Test func tellsOfAMissingNode() throws {
        let status = portBindingStatus(try goodPortBinding(), node: nil, outcome: nil, previous: nil, now: "NOW")
        let web = try #require(status.bindings.first)
        #expect(web.reason == .edgeNodeNotFound)
        #expect(web.message == "EdgeNode default/edge does not exist; create it or correct spec.edgeNodeRef.name")
        #expect(web.address == "")
        #expect(web.target == nil)
    }

    private static let untold = NodeFailure(reason: "UplinkNameTaken", message: "StatefulSet x is another's", followUp: .waiting)

    @Test func tellsWhyItsNodeCameToNoPlan() throws {
        let none = portBindingStatus(
            try goodPortBinding(), node: try edgeNode(), outcome: nil, failure: Self.untold, previous: nil, now: "NOW")
        #expect(none.bindings.first?.reason == .notYetApplied)
        #expect(none.bindings.first?.message == "EdgeNode default/edge: StatefulSet x is another's")
        // One that does not decode is there.
        let invalid = portBindingStatus(
            try goodPortBinding(), node: nil, outcome: nil, failure: Self.untold, previous: nil, now: "NOW")
        #expect(invalid.bindings.first?.reason == .notYetApplied)
    }

    /// What is in force stays so, whatever holds up the next plan; what is new waits for that.
    @Test func tellsOfTheFailureWhereItMatters() throws {
        let facts = IndexedOutcome(try goodOutcome())
        let old = portBindingStatus(
            try goodPortBinding(), node: try edgeNode(), outcome: facts, failure: Self.untold, previous: nil, now: "NOW")
        #expect(old.bindings.allSatisfy { $0.ready })
        let new = portBindingStatus(
            portBinding("new", [try tcp("more", 81)]), node: try edgeNode(), outcome: facts, failure: Self.untold, previous: nil,
            now: "NOW")
        #expect(new.bindings.first?.message == "EdgeNode default/edge: StatefulSet x is another's")
    }

    /// Its VPS may be torn down already, whatever was found before.
    @Test func tellsThatItsNodeGoes() throws {
        var node = try edgeNode()
        node.metadata.deletionTimestamp = "2026-11-21T11:00:00Z"
        let status = try status(goodOutcome(), node: node)
        #expect(status.bindings.allSatisfy { $0.reason == .edgeNodeNotFound && !$0.ready })
        #expect(status.bindings.first?.message.hasPrefix("EdgeNode default/edge is being deleted; ") == true)
    }

    /// The conflict's own reason and words. PortConflict, TargetNotFound, TLSSecretIncomplete, RejectedByEnvoy all come this way.
    @Test func tellsOfConflicts() throws {
        let secret = NamespacedReference(name: "gone")
        let binding = portBinding(
            "b",
            [
                try tcp("web", 40500), try tcp("lost", 81, to: .service(NamespacedReference(name: "gone"), port: Port(80))),
                try tls("tls", 82, mode: .offload(secret)), try tcp("Bad", 83), try tcp("good", 84),
            ])
        let status = try status(goodOutcome([binding]), of: binding)
        #expect(
            status.bindings.map(\.reason) == [.portConflict, .targetNotFound, .tlsSecretIncomplete, .rejectedByEnvoy, .applied])
        #expect(status.conditions["Programmed"]?.status == .false)
        #expect(
            status.conditions["Programmed"]?.message
                == "web: listenPort 40500 is reserved for the uplinks' readiness; choose another (4 of 5 bindings)")
    }

    private struct Case {
        var reason: BindingStatus.Reason
        var message: String
        var spoil: (inout NodeOutcome) throws -> Void
    }

    @Test func tellsWhatIsWrongOutsideThePlan() throws {
        let cases = [
            Case(reason: .notYetApplied, message: "EdgeNode default/edge: no route") {
                $0.report = nil
                $0.failure = NodeFailure(reason: "Unreachable", message: "no route", followUp: .retry)
            },
            Case(reason: .notYetApplied, message: "the VPS does not hold the present configuration yet") { $0.report = nil },
            Case(reason: .notYetApplied, message: "the VPS does not hold the present configuration yet") {
                $0.report?.hash = SHA256.digest(of: "older")
            },
            Case(reason: .notYetApplied, message: "Envoy has no listener tcp-80 yet") { $0.report?.listeners = [] },
            Case(reason: .notYetApplied, message: "Envoy has not taken the listener up yet") {
                $0.setListener("tcp-80", .pending)
            },
            Case(reason: .portInUse, message: "another process on the VPS holds the port") {
                $0.setListener("tcp-80", .portInUse)
            },
            Case(reason: .blockedByFirewall, message: "ufw allow 80/tcp") {
                $0.setListener("tcp-80", .filtered, "ufw allow 80/tcp")
            },
            Case(reason: .portInUse, message: "nginx holds it") { $0.setListener("tcp-80", .portInUse, "nginx holds it") },
            Case(reason: .rejectedByEnvoy, message: "Envoy refused the listener") { $0.setListener("tcp-80", .rejected) },
            Case(reason: .uplinksDown, message: "there is no uplink") { $0.report?.peers = [] },
            Case(reason: .uplinksDown, message: "no uplink is ready (0: no handshake; 1: silent); see the uplinks' logs") {
                $0.report?.peers[0].uplink?.ready = false
                $0.report?.peers[0].uplink?.reason = "no handshake"
                $0.report?.peers[1].uplink = nil
            },
            Case(reason: .notYetApplied, message: "the uplinks have not taken up the present configuration yet") {
                $0.uplinkHash = SHA256.digest(of: "newer")
            },
            Case(
                reason: .targetUnreachable,
                message: "no uplink reaches 10.96.0.10:8080: connection refused; see whether the target runs and listens there"
            ) { outcome in
                self.eachUplink(&outcome) { $0.setTarget("web", reachable: false, "connection refused") }
            },
        ]
        for one in cases {
            let status = try status(spoiled(one.spoil))
            let web = try #require(status.bindings.first)
            #expect(web.reason == one.reason, "\(one.message)")
            #expect(web.message == one.message)
            #expect(!web.ready)
            #expect(web.target == "10.96.0.10:8080")
            #expect(status.conditions["Ready"]?.reason == one.reason.rawValue)
            // A binding whose only fault lies behind or before Envoy is programmed.
            let isProgrammed = [.uplinksDown, .targetUnreachable, .blockedByFirewall].contains(one.reason)
            #expect((status.conditions["Programmed"]?.status == .true) == isProgrammed)
        }
    }

    @Test func hasNotBeenLookedAt() throws {
        let status = try status(nil)
        #expect(status.bindings.map(\.reason) == [.notYetApplied, .notYetApplied])
        #expect(status.bindings.first?.message == "EdgeNode default/edge has not been reconciled yet")
        let newer = portBinding("b", [try tcp("web", 80), try tcp("newer", 90)])
        #expect(
            try self.status(goodOutcome(), of: newer).bindings.map(\.message) == [
                "carries traffic", "not part of the last plan yet",
            ])
    }

    @Test func oneUplinkIsEnough() throws {
        let outcome = try spoiled {
            $0.report?.peers[0].uplink = nil
            $0.report?.peers[1].uplink?.setTarget("web", reachable: true, nil)
        }
        #expect(try status(outcome).bindings.first?.ready == true)
        // Of two ready ones, the one that still holds the older document does not speak for the binding.
        let half = try spoiled {
            $0.report?.peers[0].uplink?.hash = SHA256.digest(of: "older")
            $0.report?.peers[0].uplink?.setTarget("web", reachable: false, "refused")
        }
        #expect(try status(half).bindings.first?.reason == .applied)
        // One that reaches the target is enough; one that cannot tell, as of a silent UDP target, is no fault.
        let mixed = try spoiled { $0.report?.peers[0].uplink?.setTarget("web", reachable: false, "refused") }
        #expect(try status(mixed).bindings.first?.reason == .applied)
    }

    @Test func faultsStayWithTheirBinding() throws {
        let outcome = try spoiled { $0.setListener("tcp-80", .portInUse) }
        let status = try status(outcome)
        #expect(status.bindings.map(\.reason) == [.portInUse, .applied])
        #expect(status.conditions["Ready"]?.message == "web: another process on the VPS holds the port")
    }

    /// Every reason that the API names is told by some test above.
    @Test func everyReasonIsReachable() {
        let told: Set<BindingStatus.Reason> = [
            .applied, .portConflict, .portInUse, .rejectedByEnvoy, .targetNotFound, .targetUnreachable, .tlsSecretIncomplete,
            .uplinksDown, .blockedByFirewall, .targetRefused,
            .edgeNodeNotFound, .notYetApplied,
        ]
        #expect(told == Set(BindingStatus.Reason.allCases))
    }
}

extension NodeOutcome {
    fileprivate mutating func setListener(_ name: String, _ state: ListenerReport.State, _ message: String? = nil) {
        guard let index = report?.listeners.firstIndex(where: { $0.name == name }) else { return }
        report?.listeners[index].state = state
        report?.listeners[index].message = message
    }
}

extension UplinkReport {
    fileprivate mutating func setTarget(_ binding: String, reachable: Bool?, _ message: String?) {
        targets.removeAll { $0.binding == binding }
        targets.append(TargetReport(binding: binding, reachable: reachable, message: message))
    }
}
