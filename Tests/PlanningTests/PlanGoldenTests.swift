import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Testing

/// One EdgeNode with two uplinks and a binding of every kind.
@Suite struct PlanGoldenTests {
    private let secret = ObjectName(namespace: "default", name: "web-tls")

    private func input() throws -> PlanInput {
        let dns = try service(
            "dns", namespace: "kube-system", clusterIP: "10.96.0.53",
            [ServicePort(name: "udp", protocol: .udp, port: Port(53)), ServicePort(name: "tcp", protocol: .tcp, port: Port(53))])
        let dnsTarget = Target.service(NamespacedReference(name: "dns", namespace: "kube-system"), port: try Port(53))
        let material = TLSMaterial(certificateChain: "CERT", privateKey: "KEY", certificateAuthority: "CA")
        let reference = NamespacedReference(name: "web-tls")
        return try planInput(
            edgeNode(replicas: 2),
            [
                portBinding(
                    "plain", second: 1,
                    [
                        try tcp("ssh", 2222, to: address("10.0.0.5", 22)),
                        try tcp("mail", 25, to: address("10.0.0.6", 25), TCPOptions(proxyProtocol: .v2)),
                        try udp("dns-udp", 53, to: dnsTarget),
                        try tcp("dns-tcp", 53, to: dnsTarget),
                    ]),
                portBinding(
                    "secure", second: 2,
                    [
                        try tls("pass-a", 443, ["a.example.com"]),
                        try tls("pass-b", 443, ["*.b.example.com"]),
                        try tls("off", 443, ["c.example.com"], mode: .offload(reference)),
                        try tls("whole", 8443),
                        try tls("mutual", 9443, mode: .mutual(reference)),
                    ]),
            ],
            services: [dns], certificates: [secret: .usable(material)])
    }

    @Test func plansEveryKind() throws {
        let plan = makePlan(try input())
        #expect(plan.exclusions == [])
        #expect(plan.nodeProblems == [])
        // name: listener listenPort -> tunnelPort -> target. Only those that share 443 have a tunnel port of their own.
        let told = plan.planned.map { "\($0.id.name): \($0.listener) \($0.tunnelPort) -> \($0.targetText)" }
        #expect(
            told == [
                "dns-tcp: tcp-53 53 -> 10.96.0.53:53",
                "dns-udp: udp-53 53 -> 10.96.0.53:53",
                "mail: tcp-25 25 -> 10.0.0.6:25",
                "mutual: tcp-9443 9443 -> 10.96.0.10:8080",
                "off: tcp-443 54196 -> 10.96.0.10:8080",
                "pass-a: tcp-443 31180 -> 10.96.0.10:8080",
                "pass-b: tcp-443 35813 -> 10.96.0.10:8080",
                "ssh: tcp-2222 2222 -> 10.0.0.5:22",
                "whole: tcp-8443 8443 -> 10.96.0.10:8080",
            ])
    }

    @Test func writesTheUplinksPart() throws {
        let content = makePlan(try input()).uplinkContent(relayPublicKey: try publicKey(9))
        #expect(content.relay.address.description == "10.200.0.1")
        #expect(content.relay.host.description == "203.0.113.10")
        #expect(content.relay.port == .defaultTunnel)
        #expect(content.replicas.map { "\($0.ordinal) \($0.address)" } == ["0 10.200.0.2", "1 10.200.0.3"])
        #expect(
            content.forwards.map { "\($0.protocol) \($0.tunnelPort) \($0.binding)" }
                == [
                    "TCP 25 mail", "TCP 53 dns-tcp", "TCP 2222 ssh", "TCP 8443 whole", "TCP 9443 mutual", "TCP 31180 pass-a",
                    "TCP 35813 pass-b", "TCP 54196 off", "UDP 53 dns-udp",
                ])
    }

    @Test func writesTheRelaysPart() throws {
        let plan = makePlan(try input())
        let relay = plan.relay
        #expect(relay.wireGuard.peers.map { "\($0.ordinal) \($0.address)" } == ["0 10.200.0.2", "1 10.200.0.3"])
        #expect(
            relay.listeners.map { "\($0.name) \($0.bindings.joined(separator: ","))" }
                == [
                    "bridge ", "tcp-25 mail", "tcp-53 dns-tcp", "udp-53 dns-udp", "tcp-443 off,pass-a,pass-b", "tcp-2222 ssh",
                    "tcp-8443 whole", "tcp-9443 mutual",
                ])
        #expect(relay.envoy.bindings.map(\.name) == plan.planned.map(\.id.name))
        #expect(relay.envoy.bindings.map(\.tunnelPort) == plan.planned.map(\.tunnelPort))
        // The CA of the Secret serves mode mutual alone.
        let withKeys = relay.envoy.bindings.filter { $0.tls?.material != nil }
        #expect(withKeys.map { "\($0.name) \($0.tls?.material?.certificateAuthority ?? "-")" } == ["mutual CA", "off -"])
    }

    @Test func drainTimeHasWholeSecondsAndAtLeastOne() throws {
        let seconds = try ["0s", "1500ms", "15m"].map { text in
            var node = try edgeNode()
            node.spec.edge.drainTimeout = try GoDuration(parsing: text)
            return makePlan(try planInput(node, [])).relay.envoy.drainSeconds
        }
        #expect(seconds == [1, 1, 900])
    }

    /// Each uplink is asked once a second at least; what no prober could keep up with is held at the ends.
    @Test(arguments: [
        ("5s", "2s", 1000, 2000), ("500ms", "1s", 500, 1000), ("100ms", "50ms", 100, 100), ("1h", "10m", 1000, 600_000),
    ])
    func probesAreQuick(interval: String, timeout: String, milliseconds: Int, patience: Int) throws {
        var node = try edgeNode()
        node.spec.edge.healthCheck = HealthCheckSpec(
            interval: try GoDuration(parsing: interval), timeout: try GoDuration(parsing: timeout), unhealthyThreshold: 3)
        let probing = makePlan(try planInput(node, [])).relay.envoy.probing
        #expect(probing.intervalMilliseconds == milliseconds && probing.timeoutMilliseconds == patience)
        #expect(probing.unhealthyThreshold == 3)
    }

    /// The controller may list in any order; the VPS must not notice.
    @Test func isTheSameInAnyOrder() throws {
        let original = try input()
        let relay = try DocumentJSON.encode(makePlan(original).relay)
        let uplink = try DocumentJSON.encode(makePlan(original).uplinkContent(relayPublicKey: publicKey(9)))
        var random = SeededRandom(seed: 11)
        for _ in 0..<20 {
            var shuffled = original
            shuffled.portBindings.shuffle(using: &random)
            for index in shuffled.portBindings.indices { shuffled.portBindings[index].spec.bindings.shuffle(using: &random) }
            let plan = makePlan(shuffled)
            #expect(try DocumentJSON.encode(plan.relay) == relay)
            #expect(try DocumentJSON.encode(plan.uplinkContent(relayPublicKey: publicKey(9))) == uplink)
        }
    }

    @Test func ignoresOthersAndTheDeleted() throws {
        var original = try input()
        let plan = makePlan(original)
        var leaving = portBinding("leaving", second: 0, [try tcp("gone", 2222)])
        leaving.metadata.deletionTimestamp = "2026-11-21T11:00:00Z"
        original.portBindings += [
            leaving, portBinding("other-node", of: "edge-2", [try tcp("x", 2222)]),
            portBinding("other-namespace", namespace: "team", [try tcp("y", 2222)]),
        ]
        let again = makePlan(original)
        #expect(again.planned == plan.planned)
        #expect(again.exclusions == [])
    }

    @Test func leavesOutUplinksWithoutAKey() throws {
        var original = try input()
        original.uplinkKeys[0] = nil
        #expect(makePlan(original).relay.wireGuard.peers.map { "\($0.ordinal) \($0.address)" } == ["1 10.200.0.3"])
        original.uplinkKeys = [:]
        let plan = makePlan(original)
        #expect(plan.relay.wireGuard.peers.isEmpty)
        #expect(plan.planned.count == 9)
    }

    /// An uplink that drains has connections until it is gone.
    @Test func keepsAnUplinkThatIsLeaving() throws {
        var original = try planInput(edgeNode(replicas: 1), [])
        original.uplinkKeys = [0: try publicKey(0), 3: try publicKey(3), 253: try publicKey(4)]
        let plan = makePlan(original)
        #expect(plan.relay.wireGuard.peers.map { "\($0.ordinal) \($0.address)" } == ["0 10.200.0.2", "3 10.200.0.5"])
        #expect(plan.nodeProblems == [])
    }

    @Test func plansAnEmptyNode() throws {
        let plan = makePlan(try planInput(edgeNode(), []))
        #expect(plan.planned.isEmpty)
        #expect(plan.exclusions.isEmpty)
        #expect(plan.relay.listeners.map(\.name) == ["bridge"])
    }
}
