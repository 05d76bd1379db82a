import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Testing

@testable import Planning

/// Each kind of conflict: who loses, what is said, and that the others are planned.
@Suite struct ExclusionTests {
    private func id(_ owner: String, _ name: String) -> BindingID {
        BindingID(owner: ObjectName(namespace: "default", name: owner), name: name)
    }

    private func plan(
        _ portBindings: [PortBinding], services: [Service] = [], certificates: [ObjectName: CertificateSource] = [:]
    ) throws -> Plan {
        makePlan(try planInput(edgeNode(), portBindings, services: services, certificates: certificates))
    }

    @Test func thePortGoesToTheOlder() throws {
        // `a` comes first by name, `z` by age.
        let plan = try plan([
            portBinding("a", second: 9, [try tcp("late", 80), try tcp("bystander", 81)]),
            portBinding("z", second: 1, [try tcp("early", 80)]),
        ])
        #expect(plan.planned.map(\.id) == [id("a", "bystander"), id("z", "early")])
        #expect(
            plan.exclusions == [
                Exclusion(
                    binding: id("a", "late"), other: id("z", "early"), reason: .portConflict,
                    message: "TCP listenPort 80 is taken by binding early of PortBinding default/z, which is older; "
                        + "use another port, or give both tls.hostnames to share it")
            ])
    }

    @Test func ofTwoOfOneAgeTheNameDecides() throws {
        let plan = try plan([
            portBinding("b", second: 1, [try tcp("one", 80)]), portBinding("a", second: 1, [try tcp("two", 80)]),
        ])
        #expect(plan.planned.map(\.id) == [id("a", "two")])
        #expect(plan.exclusions.map(\.other) == [id("a", "two")])
    }

    /// A manifest has no creation time; it counts as the oldest.
    @Test func ofNoAgeIsOldest() throws {
        var manifest = portBinding("z", [try tcp("file", 80)])
        manifest.metadata.creationTimestamp = ""
        let plan = try plan([portBinding("a", second: 0, [try tcp("server", 80)]), manifest])
        #expect(plan.planned.map(\.id) == [id("z", "file")])
    }

    @Test func theSameNumberOfAnotherProtocolIsFree() throws {
        let plan = try plan([portBinding("a", [try tcp("t", 53), try udp("u", 53)])])
        #expect(plan.exclusions == [])
        #expect(plan.planned.count == 2)
    }

    @Test func namesAreUniqueOnANode() throws {
        let plan = try plan([
            portBinding("a", second: 1, [try tcp("web", 80)]), portBinding("b", second: 2, [try tcp("web", 81)]),
        ])
        #expect(plan.planned.map(\.id) == [id("a", "web")])
        #expect(
            plan.exclusions.map(\.message) == [
                "the name web is taken on this EdgeNode by binding web of PortBinding default/a, which is older; rename one of them"
            ])
        #expect(plan.exclusions.map(\.other) == [id("a", "web")])
    }

    @Test(arguments: [
        (40500, "the uplinks' readiness"), (40600, "the bridge to Envoy's statistics"),
    ])
    func reservedPortsAreRefused(port: Int, owner: String) throws {
        let plan = try plan([portBinding("a", [try tcp("t", port), try udp("u", port), try tcp("ok", 80)])])
        #expect(plan.planned.map(\.id.name) == ["ok"])
        #expect(plan.exclusions.map(\.binding.name) == ["t", "u"])
        for conflict in plan.exclusions {
            #expect(conflict.reason == .portConflict)
            #expect(conflict.other == nil)
            #expect(conflict.message == "listenPort \(port) is reserved for \(owner); choose another")
        }
    }

    /// WireGuard's socket is UDP; HTTPS on the same number is another.
    @Test func theTunnelPortIsTheNodesAndUDPAlone() throws {
        var node = try edgeNode()
        node.spec.tunnel.listenPort = try Port(443)
        let bindings = [try tcp("t", 443), try udp("u", 443), try udp("v", 51821)]
        let plan = makePlan(try planInput(node, [portBinding("a", bindings)]))
        #expect(plan.exclusions.map(\.binding.name) == ["u"])
        #expect(
            plan.exclusions.map(\.message) == [
                "listenPort 443 is reserved for the tunnel (spec.tunnel.listenPort); choose another"
            ])
        #expect(plan.planned.map(\.id.name) == ["t", "v"])
    }

    @Test func aWholePortAndNamesDoNotShare() throws {
        let wholeFirst = try plan([
            portBinding("a", second: 1, [try tls("whole", 443)]),
            portBinding("b", second: 2, [try tls("named", 443, ["x.example.com"])]),
        ])
        #expect(wholeFirst.planned.map(\.id.name) == ["whole"])
        #expect(wholeFirst.exclusions.map(\.other) == [id("a", "whole")])
        let namesFirst = try plan([
            portBinding("a", second: 2, [try tls("whole", 443)]),
            portBinding("b", second: 1, [try tls("named", 443, ["x.example.com"]), try tls("other", 443, ["y.example.com"])]),
        ])
        #expect(namesFirst.planned.map(\.id.name) == ["named", "other"])
        #expect(
            namesFirst.exclusions.map(\.message) == [
                "TCP listenPort 443 is shared by hostname, first by binding named of PortBinding default/b; "
                    + "give this one tls.hostnames or another port"
            ])
    }

    /// `nil`: the two share the port. Else the message's beginning.
    static let hostnames: [(older: [String], newer: [String], overlap: String?)] = [
        (["a.example.com"], ["b.example.com"], nil),
        (["a.example.com"], ["a.example.com"], "hostname a.example.com overlaps a.example.com of"),
        (
            ["a.example.com", "b.example.com"], ["c.example.com", "b.example.com"],
            "hostname b.example.com overlaps b.example.com of"
        ),
        // A wildcard takes every name below it, at any depth, but not its own base.
        (["*.example.com"], ["example.com"], nil),
        (["example.com"], ["*.example.com"], nil),
        (["*.example.com"], ["a.example.com"], "hostname a.example.com overlaps *.example.com of"),
        (["a.example.com"], ["*.example.com"], "hostname *.example.com overlaps a.example.com of"),
        (["*.example.com"], ["a.b.example.com"], "hostname a.b.example.com overlaps *.example.com of"),
        (["a.b.example.com"], ["*.example.com"], "hostname *.example.com overlaps a.b.example.com of"),
        (["*.example.com"], ["*.example.com"], "hostname *.example.com overlaps *.example.com of"),
        (["*.example.com"], ["*.b.example.com"], "hostname *.b.example.com overlaps *.example.com of"),
        (["*.b.example.com"], ["*.example.com"], "hostname *.example.com overlaps *.b.example.com of"),
        (["*.a.example.com"], ["*.b.example.com"], nil),
        // A suffix of letters is not one of labels.
        (["*.example.com"], ["badexample.com"], nil),
        (["badexample.com"], ["*.example.com"], nil),
        (["com"], ["*.com"], nil),
        (["*.com"], ["x.com"], "hostname x.com overlaps *.com of"),
    ]

    @Test(arguments: hostnames) func hostnamesMayNotOverlap(older: [String], newer: [String], overlap: String?) throws {
        let plan = try plan([
            portBinding("a", second: 2, [try tls("new", 443, newer)]), portBinding("b", second: 1, [try tls("old", 443, older)]),
        ])
        if let overlap {
            #expect(plan.planned.map(\.id.name) == ["old"])
            #expect(plan.exclusions.map(\.other) == [id("b", "old")])
            #expect(
                plan.exclusions.map(\.message) == [
                    overlap + " binding old of PortBinding default/b on TCP listenPort 443, which is older; "
                        + "hostnames on one port must not overlap"
                ])
        } else {
            #expect(plan.exclusions == [])
            #expect(plan.planned.map(\.id.name) == ["new", "old"])
        }
        // Two ports never meet.
        let apart = try self.plan([portBinding("a", [try tls("new", 443, newer), try tls("old", 444, older)])])
        #expect(apart.exclusions == [])
    }

    @Test func oneThatLostTakesNothing() throws {
        // `second` loses its name; so `third` may have the port that `second` wanted.
        let plan = try plan([
            portBinding("a", second: 1, [try tcp("web", 80)]), portBinding("b", second: 2, [try tcp("web", 81)]),
            portBinding("c", second: 3, [try tcp("third", 81)]),
            // The names that it wanted on 443 stay free as well.
            portBinding("d", second: 4, [try tls("p", 443, ["a.example.com"])]),
            portBinding("e", second: 5, [try tls("q", 443, ["b.example.com", "a.example.com"])]),
            portBinding("f", second: 6, [try tls("r", 443, ["b.example.com"])]),
        ])
        #expect(plan.planned.map(\.id.name) == ["p", "r", "third", "web"])
        #expect(plan.exclusions.map(\.binding) == [id("b", "web"), id("e", "q")])
    }

    @Test func targetsMustExist() throws {
        func reference(_ name: String, _ port: Int) throws -> Target {
            .service(NamespacedReference(name: name, namespace: "apps"), port: try Port(port))
        }
        let services = [
            try service("headless", namespace: "apps", clusterIP: nil, [ServicePort(port: try Port(80))]),
            try service(
                "web", namespace: "apps", clusterIP: "10.96.0.1",
                [ServicePort(port: try Port(80)), ServicePort(protocol: .udp, port: try Port(90))]),
            try service("bare", namespace: "apps", clusterIP: "10.96.0.2", []),
        ]
        let plan = try plan(
            [
                portBinding(
                    "a",
                    [
                        try tcp("a-missing", 1, to: reference("nowhere", 80)),
                        try tcp("b-headless", 2, to: reference("headless", 80)),
                        try tcp("c-port", 3, to: reference("web", 81)),
                        try tcp("d-protocol", 4, to: reference("web", 90)),
                        try tcp("e-bare", 5, to: reference("bare", 80)),
                        try tcp("f-good", 6, to: reference("web", 80)),
                        try udp("g-good", 6, to: reference("web", 90)),
                    ])
            ], services: services)
        #expect(plan.planned.map(\.id.name) == ["f-good", "g-good"])
        #expect(plan.exclusions.allSatisfy { $0.reason == .targetNotFound && $0.other == nil })
        #expect(
            plan.exclusions.map(\.message) == [
                "Service apps/nowhere does not exist; create it or correct target.service",
                "Service apps/headless has no spec.clusterIP: a cluster gives it one, and a manifest from git lacks it; where there is "
                    + "no cluster, write target.address with the IPv4 address, or spec.clusterIP into the Service",
                "Service apps/web has no port 81/TCP; it has 80/TCP, 90/UDP",
                "Service apps/web has no port 90/TCP; it has 80/TCP, 90/UDP",
                "Service apps/bare has no port 80/TCP; it has none",
            ])
    }

    /// Addresses that nobody may publish, whichever way they are named, and those of the operator.
    @Test(arguments: [
        ("169.254.169.254", 80, "link-local"), ("10.200.0.1", 7000, "the tunnel's own network"), ("127.0.0.1", 80, "loopback"),
        ("224.0.0.1", 80, "multicast"), ("255.255.255.255", 80, "broadcast"), ("203.0.113.10", 80, "the VPS itself"),
        ("10.0.0.9", 40500, "the uplinks' own"), ("10.0.0.9", 40600, "the uplinks' own"),
        ("10.96.0.1", 443, "--deny-target-cidrs"),
        ("192.168.1.1", 80, "--allow-target-cidrs"),
    ])
    func targetsThatAreNobodys(_ address: String, _ port: Int, _ words: String) throws {
        let bad = Target.address(try IPv4Address(parsing: address), port: try Port(port))
        let good = Target.address(try IPv4Address(parsing: "10.0.0.9"), port: try Port(80))
        let shadow = try service("shadow", namespace: "apps", clusterIP: address, [ServicePort(port: try Port(port))])
        var input = try planInput(
            edgeNode(),
            [
                portBinding(
                    "a",
                    [
                        try tcp("direct", 1, to: bad), try tcp("good", 2, to: good),
                        try tcp(
                            "service", 3,
                            to: .service(NamespacedReference(name: "shadow", namespace: "apps"), port: try Port(port))),
                    ])
            ], services: [shadow])
        input.node.spec.address = try HostAddress(parsing: "203.0.113.10")
        input.targets = TargetPolicy(
            denied: [try CIDR(parsing: "10.96.0.1/32")],
            allowed: [try CIDR(parsing: "10.0.0.0/8"), try CIDR(parsing: "203.0.113.0/24")])
        let plan = makePlan(input)
        #expect(plan.planned.map(\.id.name) == ["good"])
        #expect(plan.exclusions.map(\.reason) == [.targetRefused, .targetRefused])
        for conflict in plan.exclusions { #expect(conflict.message.contains(words), "\(conflict.message)") }
        #expect(plan.uplinkWithoutRelayKey.forwards.map(\.binding) == ["good"])
    }

    /// Nobody else's traffic may slip in while a target is away.
    @Test func aPortStaysTakenWhileItsTargetIsMissing() throws {
        let missing = Target.service(NamespacedReference(name: "away"), port: try Port(80))
        let plan = try plan([
            portBinding("a", second: 1, [try tcp("old", 80, to: missing)]), portBinding("b", second: 2, [try tcp("new", 80)]),
        ])
        #expect(plan.planned.isEmpty)
        #expect(plan.exclusions.map(\.reason) == [.targetNotFound, .portConflict])
    }

    @Test func certificatesMustBeUsable() throws {
        func secret(_ name: String) -> ObjectName { ObjectName(namespace: "default", name: name) }
        let bare = TLSMaterial(certificateChain: "CERT", privateKey: "KEY")
        let plan = try plan(
            [
                portBinding(
                    "a",
                    [
                        try tls("a-missing", 1, mode: .offload(NamespacedReference(name: "nowhere"))),
                        try tls("b-expired", 2, mode: .offload(NamespacedReference(name: "expired"))),
                        try tls("c-no-ca", 3, mode: .mutual(NamespacedReference(name: "bare"))),
                        try tls("d-good", 4, mode: .offload(NamespacedReference(name: "bare"))),
                    ])
            ],
            certificates: [secret("expired"): .unusable("tls.crt ended"), secret("bare"): .usable(bare)])
        #expect(plan.planned.map(\.id.name) == ["d-good"])
        #expect(plan.exclusions.allSatisfy { $0.reason == .tlsSecretIncomplete && $0.other == nil })
        #expect(
            plan.exclusions.map(\.message) == [
                "Secret default/nowhere does not exist; create it or correct tls.secretRef",
                "Secret default/expired: tls.crt ended",
                "Secret default/bare has no ca.crt, which tls.mode mutual checks clients against",
            ])
    }

    /// A PortBinding with a binding of each TLS mode, whose Secrets do not exist.
    private func withoutSecrets(planned: Bool) throws -> PortBinding {
        let secret = NamespacedReference(name: "nowhere")
        var result = portBinding("a", [try tls("off", 1, mode: .offload(secret)), try tls("both", 2, mode: .mutual(secret))])
        result.status = PortBindingStatus()
        result.status?.bindings = result.spec.bindings.map { binding in
            BindingStatus(
                name: binding.name, address: "203.0.113.10:1", target: planned ? "10.96.0.10:8080" : nil, ready: planned,
                reason: planned ? .applied : .notYetApplied, message: "")
        }
        return result
    }

    @Test func theCertificateInForceIsKeptWhenItsSecretBreaks() throws {
        let plan = try plan([withoutSecrets(planned: true)])
        #expect(plan.exclusions == [])
        #expect(plan.relay.envoy.keptCertificates == ["both", "off"])
        #expect(plan.relay.envoy.bindings.allSatisfy { $0.tls?.material == nil })
        #expect(plan.relay.listeners.map(\.name) == ["bridge", "tcp-1", "tcp-2"])
        #expect(
            plan.planned.map(\.problem)
                == [String](
                    repeating: "Secret default/nowhere does not exist; create it or correct tls.secretRef. "
                        + "Until then the certificate that was applied before stays in force", count: 2))
    }

    @Test func noCertificateIsKeptForABindingThatHadNone() throws {
        #expect(try plan([withoutSecrets(planned: false)]).exclusions.map(\.binding.name).sorted() == ["both", "off"])
        var input = try planInput(edgeNode(), [withoutSecrets(planned: true)])
        input.lostCertificates = ["both"]
        let plan = makePlan(input)
        #expect(plan.relay.envoy.keptCertificates == ["off"])
        #expect(plan.exclusions.map(\.binding.name) == ["both"])
    }

    @Test func aNameThatEnvoyCannotHaveCostsOnlyItself() throws {
        let plan = try plan([portBinding("a", [try tcp("../x", 80), try tcp("ok", 81)])])
        #expect(plan.planned.map(\.id.name) == ["ok"])
        #expect(plan.exclusions.map(\.reason) == [.rejectedByEnvoy])
    }

    @Test(arguments: [("10.0.0.0/30", 2, 1), ("10.0.0.0/29", 6, 5), ("10.0.0.0/28", 253, 13)])
    func aNetworkTooSmallIsSaid(network: String, replicas: Int, room: Int) throws {
        let plan = makePlan(try planInput(edgeNode(replicas: replicas, network: network), [portBinding("a", [try tcp("t", 80)])]))
        #expect(
            plan.nodeProblems == [
                "spec.tunnel.network \(network) has room for \(room) uplinks, but spec.uplink.replicas is \(replicas); "
                    + "use a larger network or fewer replicas"
            ])
        #expect(plan.relay.wireGuard.peers.count == room)
        #expect(plan.planned.count == 1)
    }

    @Test func theDefaultNetworkHasRoomForAll() throws {
        let plan = makePlan(try planInput(edgeNode(replicas: 253), []))
        // 10.200.0.0/24 ends at .254, which is replica 252.
        #expect(plan.nodeProblems == [])
        #expect(plan.relay.wireGuard.peers.last?.address.description == "10.200.0.254")
    }

    /// A megabyte and a half of names in one PortBinding has a hundred megabytes of suffixes.
    @Test func longNamesAreNotKeptByTheirSuffixes() throws {
        let label = String(repeating: "a.", count: 120)
        let names = (0..<5000).map { "n\($0).\(label)example" }
        let plan = try plan([
            portBinding("a", second: 1, [try tls("long", 443, names)]),
            portBinding("b", second: 2, [try tls("under", 443, ["*.a.example"]), try tls("other", 443, ["*.b.example"])]),
        ])
        #expect(plan.exclusions.map(\.binding.name) == ["under"])
        #expect(plan.exclusions.first?.message.contains("overlaps") == true)
    }
}
