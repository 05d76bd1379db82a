import EdgeAPI
import Enrollment
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import Testing

@testable import Reconcilers

/// What an EdgeNode's status says of each thing that can be wrong.
@Suite struct EdgeNodeVerdictTests {
    private func status(_ outcome: NodeOutcome, previous: EdgeNodeStatus? = nil, now: String = "NOW") -> EdgeNodeStatus {
        edgeNodeStatus(outcome, previous: previous, now: now) { "\($0) s before" }
    }

    /// `Ready=True Ready`, in the order in which they are set.
    private func conditions(_ outcome: NodeOutcome) -> [String] {
        status(outcome).conditions.map { "\($0.type)=\($0.status.rawValue) \($0.reason)" }
    }

    /// Or the status would say for three minutes that an uplink is missing which came a second later.
    @Test func isSettledOnceEveryUplinkHoldsTheDocument() throws {
        var outcome = try goodOutcome()
        #expect(outcome.isSettled)
        let uplink = outcome.report?.peers[1].uplink
        outcome.report?.peers[1].uplink?.ready = false
        #expect(!outcome.isSettled)
        outcome.report?.peers[1].uplink = nil
        #expect(!outcome.isSettled)
        outcome.report?.peers[1].uplink = uplink
        outcome.report?.peers[0].uplink?.hash = SHA256.digest(of: "older")
        #expect(!outcome.isSettled)
        outcome.report?.peers = []
        #expect(!outcome.isSettled)
    }

    @Test func tellsThatAllIsWell() throws {
        let outcome = try goodOutcome()
        let status = status(outcome)
        #expect(
            conditions(outcome) == [
                "Enrolled=True Enrolled", "TunnelEstablished=True HandshakeFresh", "ConfigSynced=True Synced", "Ready=True Ready",
            ])
        #expect(
            status.conditions.map(\.message) == [
                "agent b1 answers on 203.0.113.10", "all 2 uplinks have shaken hands within 180 s", "2 bindings are applied",
                "2 bindings through 2 uplinks",
            ])
        #expect(status.observedGeneration == 1)
        #expect(status.relayPublicKey == (try publicKey(99)))
        #expect(status.wireGuardKind == "kernel")
        #expect(status.envoyVersion == "1.40.0")
        #expect(status.agentVersion == "b1")
        #expect(status.appliedConfigHash == outcome.relayHash.description)
        #expect(status.appliedBindings == 2)
        #expect(
            status.uplinks == [
                UplinkStatus(
                    name: "edge-uplink-0", tunnelIP: try IPv4Address(parsing: "10.200.0.2"), publicKey: try publicKey(1),
                    lastHandshake: "10 s before", ready: true),
                UplinkStatus(
                    name: "edge-uplink-1", tunnelIP: try IPv4Address(parsing: "10.200.0.3"), publicKey: try publicKey(2),
                    lastHandshake: "10 s before", ready: true),
            ])
    }

    @Test func tellsWhatAHostWithoutSystemdNeeds() throws {
        var outcome = try goodOutcome()
        outcome.report?.caveats = ["after a reboot nothing comes back"]
        #expect(status(outcome).conditions.last?.message == "2 bindings through 2 uplinks; after a reboot nothing comes back")
    }

    @Test func tellsWhyTheVPSWasNotReached() throws {
        var outcome = try goodOutcome()
        let good = status(outcome)
        outcome.report = nil
        outcome.failure = NodeFailure(reason: "Unreachable", message: "no route to 203.0.113.10", followUp: .retry)
        #expect(
            conditions(outcome) == [
                "Enrolled=False Unreachable", "TunnelEstablished=Unknown NotReached", "ConfigSynced=False Unreachable",
                "Ready=False Unreachable",
            ])
        // What was known before is kept.
        let later = status(outcome, previous: good, now: "LATER")
        #expect(later.relayPublicKey == good.relayPublicKey)
        #expect(later.appliedBindings == 2)
        #expect(later.conditions["Ready"]?.message == "no route to 203.0.113.10")
        #expect(later.conditions["Ready"]?.lastTransitionTime == "LATER")
    }

    @Test func tellsThatNothingWasTriedYet() throws {
        var outcome = try goodOutcome()
        outcome.report = nil
        #expect(
            conditions(outcome) == [
                "Enrolled=False NotYetEnrolled", "TunnelEstablished=Unknown NotReached", "ConfigSynced=False NotYetApplied",
                "Ready=False NotYetEnrolled",
            ])
    }

    @Test func tellsThatTheVPSHoldsAnotherConfiguration() throws {
        var outcome = try goodOutcome()
        outcome.report?.hash = SHA256.digest(of: "older")
        #expect(conditions(outcome).suffix(2) == ["ConfigSynced=False NotYetApplied", "Ready=False NotYetApplied"])
        #expect(status(outcome).appliedBindings == nil)
        #expect(status(outcome).appliedConfigHash == SHA256.digest(of: "older").description)
    }

    @Test func tellsWhichUplinksAreDown() throws {
        var outcome = try goodOutcome(replicas: 3)
        outcome.report?.peers[0].handshakeAge = 181
        #expect(
            status(outcome).conditions["TunnelEstablished"]?.reason == "HandshakeFresh",
            "it answers, so the host's clock is wrong")
        outcome.report?.peers[0].uplink = nil
        outcome.report?.peers[2].handshakeAge = nil
        outcome.report?.peers[2].uplink = nil
        let some = status(outcome)
        #expect(some.conditions["TunnelEstablished"]?.reason == "SomeUplinksDown")
        #expect(some.conditions["TunnelEstablished"]?.message == "1 of 3 uplinks are connected; down: 0, 2")
        #expect(some.conditions["Ready"]?.status == .true)
        #expect(some.uplinks.map(\.ready) == [false, true, false])
        #expect(some.uplinks.map(\.lastHandshake) == ["181 s before", "10 s before", nil])

        outcome.report?.peers[1].handshakeAge = 200
        outcome.report?.peers[1].uplink = nil
        let none = status(outcome)
        #expect(none.conditions["TunnelEstablished"]?.status == .false)
        #expect(none.conditions["Ready"]?.reason == "NoHandshake")
        outcome.report?.tunnelDropped = "ufw allow 51821/udp"
        #expect(status(outcome).conditions["TunnelEstablished"]?.reason == "BlockedByFirewall")
        #expect(status(outcome).conditions["Ready"]?.message == "ufw allow 51821/udp")
        #expect(
            none.conditions["Ready"]?.message
                == "no uplink has shaken hands within 180 s; see whether the uplinks run, and whether UDP port 51821 of 203.0.113.10 "
                + "is open in the provider's firewall")
    }

    /// At home the uplink knows best.
    @Test func theUplinksOwnTroubleComesBeforeTheFirewalls() throws {
        var outcome = try goodOutcome()
        for index in 0..<2 {
            outcome.report?.peers[index].handshakeAge = nil
            outcome.report?.peers[index].uplink = nil
        }
        outcome.report?.tunnelDropped = "ufw allow 51821/udp"
        let words = "the uplink on this host: the tunnel's network 10.200.0.0/24 overlaps 10.200.0.5/16 of interface eth0"
        outcome.uplinkComplaint = words
        let status = status(outcome)
        #expect(status.conditions["TunnelEstablished"]?.reason == "UplinkFailed")
        #expect(status.conditions["Ready"]?.message == words)
        // A session from before may count as fresh for three minutes.
        for index in 0..<2 { outcome.report?.peers[index].handshakeAge = 5 }
        #expect(self.status(outcome).conditions["Ready"]?.message == "no uplink is ready; \(words)")
    }

    /// By SSH alone, or by what comes after it.
    @Test func namesWhatSSHDForbids() throws {
        var outcome = try goodOutcome(replicas: 1)
        outcome.plan.relay.link = RelayLink(
            carriers: [.ssh, .tls], listenPort: .defaultLink, hostname: "x", path: "/x", uplinks: [])
        outcome.report?.sshHostKey = "ssh-ed25519 AAAA"
        outcome.report?.peers[0].uplink?.carriers = [.tls]
        outcome.report?.peers[0].uplink?.carrierProblem = "SSH: the key is not taken"
        let connected = "1 uplink is connected by TLS"
        #expect(status(outcome).sshHostKey == "ssh-ed25519 AAAA")
        #expect(
            status(outcome).conditions["TunnelEstablished"]?.message == "\(connected); uplink 0: SSH: the key is not taken")
        outcome.report?.sshObstacle = "sshd forwards nothing"
        let tunnel = status(outcome).conditions["TunnelEstablished"]
        #expect(tunnel?.reason == "CarrierDown" && tunnel?.message == "\(connected); SSH: sshd forwards nothing")
        outcome.report?.peers[0].handshakeAge = nil
        outcome.report?.peers[0].uplink = nil
        let none = status(outcome).conditions["TunnelEstablished"]
        #expect(none?.status == .false && none?.reason == "RefusedBySSHD" && none?.message == "sshd forwards nothing")
        outcome.uplinkComplaint = "the key is not taken"
        #expect(status(outcome).conditions["TunnelEstablished"]?.reason == "UplinkFailed", "it may be of another carrier")
        outcome.plan.relay.link?.carriers = [.ssh]
        #expect(status(outcome).conditions["TunnelEstablished"]?.reason == "RefusedBySSHD")
        outcome.uplinkComplaint = nil
        outcome.report?.sshObstacle = nil
        let message = status(outcome).conditions["TunnelEstablished"]?.message ?? ""
        #expect(message.contains("whether TCP port 22 of"), "\(message)")
    }

    @Test func namesABindingThatEnvoyRefuses() throws {
        var outcome = try goodOutcome()
        outcome.report?.refusedBindings = ["x": "Envoy refuses it: Failed to load private key"]
        #expect(conditions(outcome).suffix(2) == ["ConfigSynced=False RejectedByEnvoy", "Ready=True Ready"])
    }

    /// 180 s is still fresh, and a peer of a replica that is gone counts for nothing.
    @Test func countsPlannedPeersAlone() throws {
        var outcome = try goodOutcome()
        for index in 0..<2 { outcome.report?.peers[index].handshakeAge = 180 }
        outcome.report?.peers.append(
            PeerReport(ordinal: 2, publicKey: try publicKey(3), handshakeAge: 1, receivedBytes: 0, sentBytes: 0, uplink: nil))
        #expect(status(outcome).conditions["TunnelEstablished"]?.reason == "HandshakeFresh")
        outcome.report?.peers[1].handshakeAge = 500
        outcome.report?.peers[1].uplink = nil
        #expect(status(outcome).conditions["TunnelEstablished"]?.message == "1 of 2 uplinks are connected; down: 1")
    }

    @Test func namesANarrowPath() throws {
        var outcome = try goodOutcome()
        outcome.report?.peers[1].uplink?.pathMTU = 1372
        let tunnel = try #require(status(outcome).conditions["TunnelEstablished"])
        #expect(tunnel.status == .true && tunnel.reason == "PathMTUTooSmall")
        #expect(tunnel.message.hasPrefix("the path of uplink 1 carries packets of 1372 bytes, not 1420,"))
        #expect(tunnel.message.hasSuffix("set spec.tunnel.mtu to 1372"))
        #expect(status(outcome).conditions["Ready"]?.status == .true)
        // What the uplink still believes of a document before this one.
        outcome.report?.peers[1].uplink?.pathMTU = 1420
        #expect(status(outcome).conditions["TunnelEstablished"]?.reason == "HandshakeFresh")
    }

    @Test func namesAConntrackThatIsTooSmall() throws {
        var outcome = try goodOutcome()
        outcome.report?.peers[1].uplink?.crowding = "conntrack holds 65536 flows"
        let tunnel = try #require(status(outcome).conditions["TunnelEstablished"])
        #expect(tunnel.status == .true && tunnel.reason == "ConntrackTooSmall")
        #expect(tunnel.message == "on the host of uplink 1, conntrack holds 65536 flows")
        #expect(status(outcome).conditions["Ready"]?.status == .true)
    }

    @Test func namesAConflictAndStaysReady() throws {
        let outcome = try goodOutcome([
            portBinding("a", second: 1, [try tcp("x", 80)]), portBinding("b", second: 2, [try tcp("y", 80), try tcp("z", 80)]),
        ])
        let status = status(outcome)
        #expect(status.conditions["ConfigSynced"]?.reason == "PortConflict")
        #expect(
            status.conditions["ConfigSynced"]?.message.hasPrefix(
                "binding y of PortBinding default/b: TCP listenPort 80 is taken by") == true)
        #expect(status.conditions["ConfigSynced"]?.message.hasSuffix("(and 1 more)") == true)
        #expect(status.conditions["Ready"]?.message == "1 binding through 2 uplinks; 2 left out, see ConfigSynced")
    }

    @Test(arguments: [
        (ListenerReport.State.portInUse, "PortInUse"), (.rejected, "RejectedByEnvoy"), (.filtered, "BlockedByFirewall"),
    ])
    func namesAListenerThatIsNotServed(state: ListenerReport.State, reason: String) throws {
        var outcome = try goodOutcome()
        outcome.report?.listeners[1].state = state
        outcome.report?.listeners[1].message = "named (pid 7) holds it"
        let status = status(outcome)
        #expect(status.conditions["ConfigSynced"]?.status == .false)
        #expect(status.conditions["ConfigSynced"]?.reason == reason)
        #expect(status.conditions["ConfigSynced"]?.message == "udp-53: named (pid 7) holds it")
        #expect(status.conditions["Ready"]?.status == .true)
    }

    @Test func namesANetworkTooSmall() throws {
        let status = status(try goodOutcome(replicas: 2, network: "10.0.0.0/30"))
        #expect(status.conditions["ConfigSynced"]?.reason == "NetworkTooSmall")
        #expect(status.conditions["Ready"]?.status == .true)
    }

    @Test func keepsTheTimeOfAConditionThatDidNotChange() throws {
        let outcome = try goodOutcome()
        let first = status(outcome, now: "FIRST")
        let second = status(outcome, previous: first, now: "SECOND")
        #expect(second == first)
    }
}
