import HostNetwork
import LinkCarriers
import LinkProtocol
import NetworkTypes
import NodeDocument
import Sodium
import Testing

@testable import UplinkAgent

/// What an uplink decides about its links.
@Suite struct LinkKeepingTests {
    private let key: WireGuardPrivateKey

    init() throws { key = try .generate() }

    private func part(_ carriers: [TunnelCarrier], _ forwards: [Forward] = [], url: String? = nil, connections: Int = 2) throws
        -> UplinkPart
    {
        var content = try sampleContent(key.publicKey(), forwards: forwards)
        content.link = try sampleLink(carriers, url: url, connections: connections)
        return try UplinkPart(of: try sampleDocument(content), ordinal: 0, privateKey: key, keyPath: "priv-0")
    }

    // MARK: demands

    @Test func aDemandHasTheLinksOfTheDocumentInItsOrder() throws {
        let demand = try #require(try part([.webSocket, .wireGuard, .tls]).links)
        #expect(demand.ways.map(\.kind) == [.webSocket, .tls])
        #expect(demand.ways.map { "\($0.carrier)" } == ["WebSocket ws://203.0.113.10:443", "TLS 203.0.113.10:443"])
        #expect(demand.key == (try LinkPrivateKey(of: key)))
        #expect(
            try part([.tls]).links == part([.tls], [try sampleForward("web", .tcp, 80)]).links, "forwards are not its business")
        #expect(try part([.tls]).links != part([.tls], connections: 3).links)
    }

    @Test func anOwnCertificateOfTheVPSIsAroundLinksByItsPort() throws {
        var content = try sampleContent(key.publicKey())
        content.link = try sampleLink([.tls, .webSocket])
        content.link?.hostname = "link.example.com"
        content.link?.outerTLS = UplinkLink.OuterTLS(authority: "PEM")
        let part = try UplinkPart(of: try sampleDocument(content), ordinal: 0, privateKey: key, keyPath: "priv-0")
        let carriers = try #require(part.links).ways.map { $0.carrier.showing("/client", believing: [1]) }
        #expect(carriers.map { "\($0)" } == ["TLS 203.0.113.10:443", "WebSocket wss://203.0.113.10:443"])
        let name = try HostAddress(parsing: "link.example.com")
        for (carrier, alpn) in zip(carriers, ["tidegate-link/1", "http/1.1"]) {
            #expect(
                carrier.outerTLS
                    == OuterTLS(
                        serverName: name, applicationProtocol: alpn, roots: Array("PEM".utf8), clientCertificate: "/client"))
        }
        // A web server before the VPS has a certificate of its own.
        content.link?.url = "wss://www.example.com/link"
        let other = try UplinkPart(of: try sampleDocument(content), ordinal: 0, privateKey: key, keyPath: "priv-0")
        let front = try #require(other.links?.ways.last).carrier.showing(nil, believing: [1]).outerTLS
        #expect(
            front
                == OuterTLS(serverName: try HostAddress(parsing: "www.example.com"), applicationProtocol: "http/1.1", roots: [1]))
    }

    @Test(arguments: [
        ("wss://edge.example", "wss://edge.example:443", "/secret"), ("ws://edge.example/", "ws://edge.example:80", "/secret"),
        ("wss://edge.example:8443/a/b?c", "wss://edge.example:8443", "/a/b?c"),
        ("WSS://[2001:db8::1]:444", "wss://[2001:db8::1]:444", "/secret"),
        ("ws://[2001:db8::1]", "ws://[2001:db8::1]:80", "/secret"),
    ])
    func aURLGoesBeforeTheVPS(url: String, place: String, path: String) throws {
        guard case .webSocket(let edge)? = try part([.webSocket], url: url).links?.ways.first?.carrier else {
            Issue.record("no WebSocket")
            return
        }
        #expect(edge.description == place)
        #expect(edge.path == path)
    }

    @Test(arguments: [
        "", "http://a.example", "wss://", "wss://a.example:0", "wss://a b", "wss://user@a.example", "wss:/a.example",
    ])
    func whatIsNoURLIsRefused(url: String) throws {
        let error = #expect(throws: UplinkError.self) { try part([.webSocket], url: url) }
        #expect(error?.description.contains("content.link.url") == true)
    }

    @Test(arguments: [0, 17]) func connectionsHaveBounds(count: Int) throws {
        #expect(throws: UplinkError.self) { try part([.tls], connections: count) }
    }

    private static let hostKey = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"

    private func part(ssh: SSHWay?) throws -> UplinkPart {
        var content = try sampleContent(key.publicKey())
        content.link = try sampleLink([.ssh], ssh: ssh)
        return try UplinkPart(of: try sampleDocument(content), ordinal: 0, privateKey: key, keyPath: "priv-0")
    }

    @Test func sshHasAKeyOfItsOwn() throws {
        let demand = try #require(try part(ssh: SSHWay(port: try Port(2222), hostKey: Self.hostKey)).links)
        guard case .ssh(let edge)? = demand.ways.first?.carrier else {
            Issue.record("no SSH")
            return
        }
        #expect("\(edge)" == "SSH 203.0.113.10:2222" && edge.user == "tidegate-ssh" && edge.hostKey == Self.hostKey)
        #expect(edge.key == (try LinkPrivateKey(of: key, for: .ssh)) && edge.key != demand.key)
        #expect(try UplinkIdentity(of: key).sshKey == edge.key.sshPublicKey)
    }

    @Test(
        arguments: [
            nil, SSHWay(port: .ssh, hostKey: ""), SSHWay(port: .ssh, hostKey: "ssh-ed25519"),
            SSHWay(port: .ssh, hostKey: "x y z"),
            SSHWay(port: .ssh, hostKey: "ssh-ed25519 ####"), SSHWay(port: .ssh, user: "a b", hostKey: hostKey),
            SSHWay(port: .ssh, socket: "door.sock", hostKey: hostKey),
            SSHWay(port: .ssh, socket: "/" + String(repeating: "a", count: 107), hostKey: hostKey),
        ] as [SSHWay?])
    func whatIsNoWayBySSHIsRefused(way: SSHWay?) {
        let error = #expect(throws: UplinkError.self) { try part(ssh: way) }
        #expect(error?.description.contains("content.link.ssh") == true)
    }

    // MARK: forwards

    @Test func streamsGoWhereTheirForwardLeads() throws {
        var spread = try sampleForward("spread", .udp, 53)
        let endpoints = try (1...4).map { Endpoint(address: try IPv4Address(parsing: "10.244.0.\($0)"), port: try Port(5353)) }
        spread.endpoints = endpoints
        let forwards = LinkForwards(try part([.tls], [try sampleForward("web", .tcp, 80), spread]).content)
        #expect(
            forwards.destination(of: StreamHeader(.tcp, tunnelPort: 80), chance: 0.99)
                == .target(Endpoint(address: try IPv4Address(parsing: "10.96.0.1"), port: try Port(80))))
        #expect(
            [0, 0.3, 0.5, 0.999_999].map { forwards.destination(of: StreamHeader(.udp, tunnelPort: 53), chance: $0) }
                == endpoints.map { .target($0) })
        #expect(forwards.destination(of: StreamHeader(.tcp, tunnelPort: 53), chance: 0) == nil)
        #expect(forwards.destination(of: StreamHeader(.tcp, tunnelPort: 81), chance: 0) == nil)
        #expect(forwards.destination(of: StreamHeader(.tcp, tunnelPort: 40500), chance: 0) == .status)
        #expect(forwards.destination(of: StreamHeader(.udp, tunnelPort: 40500), chance: 0) == nil)
    }

    @Test(arguments: ["127.0.0.1", "169.254.169.254", "224.0.0.1", "203.0.113.10"])
    func whereNoneMayLeadNoLinkLeads(target: String) throws {
        let part = try part([.tls], [try sampleForward("bad", .tcp, 80, to: target), try sampleForward("web", .tcp, 81)])
        #expect(part.refused.map(\.forward.binding) == ["bad"])
        #expect(LinkForwards(part.content).destination(of: StreamHeader(.tcp, tunnelPort: 80), chance: 0) == nil)
    }

    /// Without a tunnel its network is a network like any other.
    @Test(arguments: [([TunnelCarrier.tls], 0), ([.wireGuard, .tls], 1)])
    func theTunnelsNetworkIsRefusedWhereThereIsOne(carriers: [TunnelCarrier], refused: Int) throws {
        #expect(try part(carriers, [try sampleForward("a", .tcp, 80, to: "10.200.0.9")]).refused.count == refused)
    }

    // MARK: the keeper

    @Test func withoutWireGuardTheHostIsLeftAlone() throws {
        var bench = try KeeperBench()
        bench.reading = bench.linksAlone
        #expect(bench.turn(.filesChanged, at: 0) == "read, linking(2), applied(\(HostChangeWords.none)), read known, sound")
        #expect(bench.turn(.tick, at: 1) == "")
        #expect(bench.turn(.tick, at: 31) == "read known, sound")
        #expect(!bench.keeper.mayHaveTunnel)
    }

    @Test func theTunnelGoesOnceALinkIsUp() throws {
        var bench = try KeeperBench()
        _ = bench.turn(.filesChanged, at: 0)
        bench.reading = bench.linksAlone
        #expect(bench.turn(.filesChanged, at: 5).hasPrefix("read known, linking(2), applied"))
        #expect(bench.turn(.tick, at: 6) == "leave")
        #expect(bench.keeper.mayHaveTunnel)
        bench.isLinked = true
        #expect(bench.turn(.tick, at: 7) == "leave")
        #expect(bench.turn(.tick, at: 8) == "")
        #expect(!bench.keeper.mayHaveTunnel)
        // And back.
        bench.reading = bench.first
        let words = bench.turn(.filesChanged, at: 9)
        #expect(words.hasPrefix("read known, linking(0), settle, applied"), "\(words)")
    }

    /// A pod without privileges that is told of WireGuard carries by links until it is replaced.
    @Test func aHostThatRefusesTheTunnelCarriesByLinks() throws {
        var bench = try KeeperBench()
        bench.reading = bench.both
        bench.refusal = .host(cause: "not permitted")
        let words = bench.turn(.filesChanged, at: 0)
        #expect(
            words
                == "read, linking(2), look up relay.example, settle, applied(\(HostChangeWords.none)), failed(not permitted)")
        #expect(bench.turn(.tick, at: 1) == "settle, failed(not permitted) again")
    }

    // MARK: readiness

    private func condition(_ ways: [TunnelCarrier]) -> UplinkCondition {
        var condition = UplinkCondition(ordinal: 0)
        condition.hash = SHA256.digest(of: "document")
        condition.watcherLives = true
        condition.ways = ways
        return condition
    }

    private let now = Moment(wall: 1000, steady: .zero)

    @Test func oneWayIsEnough() {
        var both = condition([.wireGuard, .tls, .webSocket])
        both.links.troubles = [.tls: "refused"]
        #expect(
            both.reasonAgainst(now)
                == "WireGuard: no handshake with the relay yet: is UDP to its tunnel port open, and does it know this uplink's key?; "
                + "TLS: refused; WebSocket: no link is up yet")
        #expect(both.report(now).carriers == [])
        both.links.up = [.webSocket: 2]
        #expect(both.reasonAgainst(now) == nil)
        var report = both.report(now)
        #expect(report.carriers == [.webSocket])
        #expect(report.carrierProblem?.hasPrefix("WireGuard: no handshake") == true)
        #expect(report.carrierProblem?.hasSuffix("; TLS: refused") == true)
        both.lastHandshake = 1000
        report = both.report(now)
        #expect(report.carriers == [.wireGuard, .webSocket] && report.carrierProblem == nil)
        both.links.up = [:]
        #expect(both.reasonAgainst(now) == nil)
        both.problem = .host(cause: "not permitted")
        #expect(both.reasonAgainst(now)?.hasPrefix("WireGuard: not permitted; TLS") == true)
        #expect(both.reasonAgainstLinks == nil, "who asks by a link has one")
        #expect(both.reasonAgainstItself(now, isHeard: true) == "not permitted")
        both.isDraining = true
        #expect(both.reasonAgainstLinks?.hasPrefix("stopping") == true)
    }

    @Test func whatIsToldChangesWithTheWays() {
        var links = condition([.tls])
        let before = links.told(now)
        links.links.streams = 5
        links.links.receivedBytes = 7
        #expect(links.told(now) == before)
        links.links.up = [.tls: 1]
        #expect(links.told(now) != before)
        #expect(links.report(now).receivedBytes == 7)
    }

    @Test func metricsTellOfLinks() {
        var links = condition([.tls, .webSocket])
        links.links.up = [.webSocket: 2]
        links.links.streams = 3
        links.links.established = 9
        let text = Metrics.text(of: links, now)
        #expect(text.contains("\ntidegate_uplink_links{carrier=\"TLS\"} 0\n"))
        #expect(text.contains("\ntidegate_uplink_links{carrier=\"WebSocket\"} 2\n"))
        #expect(text.contains("\ntidegate_uplink_link_streams 3\n"))
        #expect(text.contains("\ntidegate_uplink_links_established_total 9\n"))
        #expect(!Metrics.text(of: condition([.wireGuard]), now).contains("uplink_link"))
    }
}

/// What no change is called.
private enum HostChangeWords { static let none = HostChange.words([]) }
