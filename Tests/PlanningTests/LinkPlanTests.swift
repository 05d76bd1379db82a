import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import Testing

@Suite struct LinkPlanTests {
    private func input(
        _ carriers: [TunnelCarrier] = [.wireGuard, .tls], _ link: LinkSpec = LinkSpec(), _ bindings: [Binding] = []
    ) throws -> PlanInput {
        var node = try edgeNode(replicas: 2)
        node.metadata.uid = "5d1c"
        node.spec.tunnel.carriers = carriers
        node.spec.tunnel.link = link
        var input = try planInput(node, [portBinding("web", bindings)])
        input.linkPins = [0: SHA256.digest(of: "0"), 1: SHA256.digest(of: "1")]
        input.linkProgram = "b1"
        return input
    }

    @Test func withoutLinksNothingIsOtherThanItWas() throws {
        let plan = makePlan(try input([.wireGuard], LinkSpec(), [try tcp("ssh", 2222)]))
        #expect(plan.relay.link == nil)
        #expect(plan.planned.map(\.tunnelPort.number) == [2222])
        let key = try publicKey(9)
        #expect(plan.uplinkContent(relayPublicKey: key, linkPin: SHA256.digest(of: "relay")).link == nil)
    }

    @Test func bothHalvesKnowEachOther() throws {
        let link = LinkSpec(listenPort: try Port(8443), path: "/x", url: "wss://www.example.com/x", connections: 3)
        let plan = makePlan(try input([.tls, .wireGuard, .webSocket], link, [try tcp("ssh", 2222)]))
        let relay = try #require(plan.relay.link)
        #expect(relay.carriers == [.tls, .wireGuard, .webSocket])
        #expect((relay.linkPriority, relay.wireGuardPriority) == (0, 1))
        #expect((relay.listenPort.number, relay.path, relay.program) == (8443, "/x", "b1"))
        #expect(relay.uplinks.map { "\($0.ordinal) \($0.address)" } == ["0 127.88.0.2", "1 127.88.0.3"])
        #expect(relay.uplinks.map(\.pin) == [SHA256.digest(of: "0"), SHA256.digest(of: "1")])
        let pin = SHA256.digest(of: "relay")
        let uplink = try #require(plan.uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin).link)
        #expect(
            uplink
                == UplinkLink(
                    carriers: relay.carriers, pin: pin, host: try HostAddress(parsing: "203.0.113.10"), port: relay.listenPort,
                    hostname: relay.hostname, path: "/x", url: "wss://www.example.com/x", connections: 3))
    }

    private static let material = TLSMaterial(certificateChain: "chain", privateKey: "key", certificateAuthority: "clients")

    @Test(arguments: [false, true]) func anOwnCertificateLiesAroundLinks(asksClients: Bool) throws {
        let own = LinkSpec(
            hostname: "link.example.com", secretRef: NamespacedReference(name: "link-tls"),
            clientCASecretRef: asksClients ? NamespacedReference(name: "link-ca") : nil)
        var input = try input([.tls], own)
        input.linkCertificate = .usable(Self.material)
        input.linkAuthority = "signer"
        let plan = makePlan(input)
        let tls = try #require(plan.relay.link?.outerTLS)
        #expect(tls.mode == (asksClients ? .mutual : .offload))
        #expect(tls.material?.certificateAuthority == (asksClients ? "clients" : nil))
        #expect(plan.linkProblem == nil && plan.relay.link?.envoyPort?.number == 443)
        let pin = SHA256.digest(of: "relay")
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin)
        #expect(content.link?.outerTLS == UplinkLink.OuterTLS(authority: "signer"))
        // By sshd nobody sees it.
        input.node.spec.tunnel.carriers = [.ssh]
        #expect(makePlan(input).relay.link?.outerTLS == nil)
    }

    @Test func aCertificateThatCannotBeReadStaysAsItWas() throws {
        let own = LinkSpec(hostname: "link.example.com", secretRef: NamespacedReference(name: "link-tls"))
        var input = try input([.tls], own)
        input.linkCertificate = .usable(Self.material)
        let former = try #require(makePlan(input).relay.link)
        input.linkCertificate = .unusable("Secret a/link-tls: tls.key is encrypted")
        let plan = makePlan(input)
        #expect(plan.linkProblem?.contains("Secret a/link-tls: tls.key is encrypted. Until then") == true)
        let link = try #require(plan.relay.link)
        #expect(link.outerTLS?.material == nil && link.envoyPort == nil, "without one no link is taken in the clear")
        #expect(link.withKeptCertificate(of: former) == former)
        #expect(link.withKeptCertificate(of: nil).envoyPort == nil)
        #expect(former.withKeptCertificate(of: link) == former)
        // The host has one that asks nothing of clients.
        input.node.spec.tunnel.link.clientCASecretRef = NamespacedReference(name: "link-ca")
        #expect(makePlan(input).relay.link?.withKeptCertificate(of: former).envoyPort == nil)
    }

    @Test func sshWantsTheUplinksKeysAndTheHosts() throws {
        var input = try input([.ssh], LinkSpec(), [try tcp("plain", 443)])
        input.node.spec.ssh.port = try Port(2222)
        let key = try #require(SSHPublicKey("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"))
        input.sshKeys = [0: key]
        let plan = makePlan(input)
        #expect(plan.relay.link?.uplinks.map(\.sshKey) == [key, nil])
        #expect(plan.relay.link?.envoyPort == nil && plan.exclusions == [], "the links' port is free")
        let pin = SHA256.digest(of: "relay")
        let content = plan.uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin, sshHostKey: "ssh-ed25519 AAAA")
        #expect(content.link?.ssh == SSHWay(port: try Port(2222), hostKey: "ssh-ed25519 AAAA"))
        // Not before the VPS knows them.
        #expect(plan.uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin).link == nil)
        input.node.spec.tunnel.carriers = [.ssh, .webSocket]
        let early = makePlan(input).uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin)
        #expect(early.link?.carriers == [.webSocket] && early.link?.ssh == nil)
        // Without it nothing of SSH is anywhere.
        input.node.spec.tunnel.carriers = [.tls]
        let other = makePlan(input)
        #expect(other.relay.link?.uplinks.map(\.sshKey) == [nil, nil])
        #expect(other.uplinkContent(relayPublicKey: try publicKey(9), linkPin: pin, sshHostKey: "x").link?.ssh == nil)
    }

    /// They stay the same, and nobody guesses them.
    @Test func nameAndPathAreTheNodesOwn() throws {
        let one = try #require(makePlan(try input()).relay.link)
        #expect(one == makePlan(try input([.wireGuard, .tls], LinkSpec(), [try tcp("ssh", 2222)])).relay.link)
        #expect(one.path.wholeMatch(of: /\/[0-9a-f]{32}/) != nil)
        #expect(one.hostname.wholeMatch(of: /[0-9a-f]{12}\.tidegate\.internal/) != nil)
        var other = try input()
        other.node.metadata.uid = "5d1d"
        let two = try #require(makePlan(other).relay.link)
        #expect(two.path != one.path && two.hostname != one.hostname)
        // A manifest has no uid.
        other.node.metadata.uid = ""
        let three = try #require(makePlan(other).relay.link)
        other.linkSecret = "another installation"
        #expect(makePlan(other).relay.link?.path != three.path)
        // A key that is rotated moves nothing.
        let four = makePlan(other).relay.link?.path
        other.linkPins[0] = SHA256.digest(of: "another key")
        #expect(makePlan(other).relay.link?.path == four)
    }

    /// On the VPS the link program listens at the tunnel ports, where Envoy has the listen ports.
    @Test func noTunnelPortIsAListenPort() throws {
        let bindings = try (0..<300).map { try $0 % 2 == 0 ? tcp("t\($0)", 20_000 + $0) : udp("u\($0)", 20_000 + $0) }
        let plan = makePlan(try input([.webSocket], LinkSpec(), bindings))
        #expect(plan.planned.count == 300)
        let ports = Set(plan.planned.map(\.tunnelPort))
        #expect(ports.count == 300)
        #expect(ports.isDisjoint(with: plan.planned.map(\.listenPort)))
        #expect(plan.relay.envoy.bindings.map(\.tunnelPort) == plan.planned.map(\.tunnelPort))
    }

    @Test func thePortIsSharedWithTLSAlone() throws {
        let link = LinkSpec(hostname: "link.example.com")
        let plan = makePlan(
            try input(
                [.tls], link,
                [
                    try tls("named", 443, ["web.example.com"]), try udp("quic", 443), try tcp("plain", 8080),
                    try tls("wild", 443, ["*.example.com"]), try tls("same", 443, ["link.example.com"]),
                ]))
        #expect(plan.planned.map(\.id.name) == ["named", "plain", "quic"])
        #expect(plan.exclusions.map(\.reason) == [.portConflict, .portConflict])
        #expect(plan.exclusions.allSatisfy { $0.message.contains("spec.tunnel.link.hostname") })
        let refused = makePlan(try input([.tls], link, [try tcp("plain", 443)])).exclusions
        #expect(refused.map(\.reason) == [.portConflict])
        #expect(refused.first?.message.contains("spec.tunnel.link.listenPort") == true)
        #expect(makePlan(try input([.tls], link, [try tls("all", 443)])).exclusions == [])
        #expect(makePlan(try input([.wireGuard], link, [try tcp("plain", 443)])).exclusions == [])
    }
}
