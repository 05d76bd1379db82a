import EdgeAPI
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Testing

@testable import Controller

private func service(
    _ name: String, in namespace: String, since time: String = "2026-01-01T00:00:00Z", named: String? = nil, has: String? = nil
) throws -> RemoteService {
    var service = RemoteService(
        metadata: ObjectMeta(name: name, namespace: namespace, creationTimestamp: time),
        spec: RemoteServiceSpec(
            ports: [RemotePort(name: "a", protocol: .tcp, port: try Port(80), targetPort: try Port(80))],
            gateway: RemoteGateway(entrance: .ingress(RemoteIngress(host: named)))))
    if let has { service.status = RemoteServiceStatus(host: has) }
    return service
}

@Suite struct RemoteHostsTests {
    @Test func `The older has the plain host, and keeps it`() throws {
        let (older, younger) = (
            try service("a-b", in: "c"), try service("a", in: "b-c", since: "2026-01-02T00:00:00Z")
        )
        let hosts = RemoteHosts([older, younger])
        #expect(hosts.host(of: older, below: "x.y") == .init(host: "a-b-c.x.y"))
        let other = try #require(hosts.host(of: younger, below: "x.y"))
        #expect(other.holder == nil)
        #expect(other.host.hasPrefix("a-b-c-"))
        // Who has it already does so whatever comes: an older one that comes back from a backup, say.
        let holder = try service("a", in: "b-c", since: "2026-01-02T00:00:00Z", has: "a-b-c.x.y")
        #expect(RemoteHosts([older, holder]).host(of: holder, below: "x.y") == .init(host: "a-b-c.x.y"))
        #expect(RemoteHosts([older, holder]).host(of: older, below: "x.y")?.host != "a-b-c.x.y")
        // The plain one is free again, and nothing is renamed that has a remote.
        let qualified = try service("a", in: "b-c", has: other.host)
        #expect(RemoteHosts([qualified]).host(of: qualified, below: "x.y") == .init(host: other.host))
    }

    @Test func `A named host is the older one's`() throws {
        let (older, younger) = (
            try service("a", in: "n", named: "h.x"), try service("b", in: "m", since: "2026-01-02T00:00:00Z", named: "h.x")
        )
        let hosts = RemoteHosts([older, younger])
        #expect(hosts.host(of: older, below: nil) == .init(host: "h.x"))
        #expect(hosts.host(of: younger, below: nil) == .init(host: "h.x", holder: ObjectName(namespace: "n", name: "a")))
    }

    @Test func `Without a name and a domain there is none`() throws {
        #expect(RemoteHosts([]).host(of: try service("a", in: "n"), below: nil) == nil)
    }

    @Test func `Hosts of ten thousand are found in a moment`() throws {
        let all = try (0..<10_000).map { try service("s\($0)", in: "n", has: "s\($0)-n.x.y") }
        let hosts = RemoteHosts(all)
        for one in all.prefix(20) { #expect(hosts.host(of: one, below: "x.y")?.holder == nil) }
    }
}

@Suite struct RemoteVerdictTests {
    private let metadata = ObjectMeta(name: "job", generation: 3)
    private let ports: [RemotePort]

    init() throws {
        ports = [
            RemotePort(name: "a", protocol: .tcp, port: try Port(80), targetPort: try Port(80)),
            RemotePort(name: "b", protocol: .udp, port: try Port(53), targetPort: try Port(53)),
        ]
    }

    private func status(_ verdict: RemoteVerdict) -> RemoteServiceStatus {
        verdict.status(of: metadata, ports: ports, former: nil, now: "2026-01-01T00:00:00Z")
    }

    private func reasons(_ status: RemoteServiceStatus) -> [String] {
        ["GatewayReady", "Connected", "Ready"].map { type in
            status.conditions[type].map { "\($0.status.rawValue) \($0.reason)" } ?? ""
        }
    }

    @Test func `Each state has its conditions`() {
        var verdict = RemoteVerdict()
        verdict.joinSecret = "job-join"
        verdict.url = "wss://a.b"
        #expect(reasons(status(verdict)) == ["True Serving", "False GatewayUnknown", "False GatewayUnknown"])
        verdict.report = GatewayReport(ports: [
            .init(name: "a", client: nil, trouble: nil), .init(name: "b", client: nil, trouble: nil),
        ])
        #expect(reasons(status(verdict)) == ["True Serving", "False NoRemote", "False NoRemote"])
        #expect(status(verdict).conditions["Connected"]?.message.contains("Secret job-join has the command") == true)
        verdict.report?.ports[0].client = .wstunnel
        #expect(reasons(status(verdict)) == ["True Serving", "False SomePorts", "False SomePorts"])
        #expect(status(verdict).connectedPorts == "1/2")
        #expect(status(verdict).conditions["Connected"]?.message.contains("; b: no remote") == true)
        verdict.report?.ports[1].client = .rathole
        #expect(reasons(status(verdict)) == ["True Serving", "True Connected", "True Connected"])
        verdict.gateway = RemoteFault(reason: "CertificatePending", message: "m")
        #expect(reasons(status(verdict)) == ["False CertificatePending", "True Connected", "False CertificatePending"])
    }

    @Test func `A port that the gateway does not know yet, or cannot listen at, is not connected`() {
        var verdict = RemoteVerdict()
        verdict.report = GatewayReport(ports: [.init(name: "a", client: .tidegate, trouble: "in use")], trouble: "broken")
        let status = status(verdict)
        #expect(status.ports.map(\.message) == ["in use", "the gateway has not taken it up yet: broken"])
        #expect(status.connectedPorts == "0/2")
    }
}
