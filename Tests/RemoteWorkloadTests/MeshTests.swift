import Documents
import EdgeAPI
import JSON
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Sodium
import Testing

@testable import RemoteWorkload

@Suite struct MeshTests {
    private func service(_ mesh: RemoteMesh?) throws -> RemoteService {
        RemoteService(
            metadata: ObjectMeta(name: "job", namespace: "batch"),
            spec: RemoteServiceSpec(
                ports: [RemotePort(name: "http", protocol: .tcp, port: try Port(80), targetPort: try Port(8080))],
                gateway: RemoteGateway(entrance: .ingress(RemoteIngress(host: "job.example.com"))), mesh: mesh))
    }

    private func mesh() throws -> RemoteMesh { RemoteMesh(clusterCIDRs: [try CIDR(parsing: "10.96.0.0/12")]) }

    @Test func `The gateway knows the remote's key and nothing of it that is secret`() throws {
        let secrets = try RemoteSecrets.generate()
        let document = try service(mesh()).gatewayDocument(secrets)
        let terms = try #require(document.mesh)
        #expect(try terms.peer == WireGuardPrivateKey(of: secrets.remoteKey).publicKey())
        #expect(try terms.peer != WireGuardPrivateKey(of: secrets.gatewayKey).publicKey())
        #expect("\(terms.gatewayAddress) \(terms.remoteAddress) \(terms.mtu)" == "10.7.0.1 10.7.0.2 1500")
        #expect(document.fault == nil)
        #expect(try service(nil).gatewayDocument(secrets).mesh == nil)
    }

    /// As `wg pubkey` has it of BLAKE2b's digest: a change would part gateways and remotes of two releases.
    @Test func `A mesh's key follows from the link's as it always did`() throws {
        var seed = [UInt8](0..<32)
        let key = try #require(LinkPrivateKey(secret: SecretBytes(consuming: &seed)))
        #expect(try WireGuardPrivateKey(of: key).publicKey().description == "P3oZTG2RRj1RZJHWdFxnBkDzbSj/xzKRSWsmHGC5jDI=")
    }

    @Test func `Only a gateway with a mesh is root, and has one capability`() throws {
        func pod(_ mesh: RemoteMesh?, makesDevices: Bool = true) throws -> FieldNode {
            let objects = RemoteObjects(of: try service(mesh), image: "i", environment: [:], makesDevices: makesDevices)
            let deployment = try #require(objects.workload(host: nil).first { $0.resource == .deployments }?.value)
            return try #require(FieldNode(value: deployment)["spec"]?["template"]?["spec"])
        }
        func capabilities(_ pod: FieldNode) -> FieldNode? {
            pod["containers"]?.items?.first?["securityContext"]?["capabilities"]
        }
        let plain = try pod(nil)
        #expect(plain["securityContext"]?["runAsNonRoot"]?.bool == true)
        #expect(capabilities(plain)?["add"] == nil)
        let meshed = try pod(mesh())
        #expect(meshed["securityContext"]?["runAsUser"]?.integer == 0)
        #expect(capabilities(meshed)?["drop"]?.items?.compactMap(\.text) == ["ALL"])
        #expect(capabilities(meshed)?["add"]?.items?.compactMap(\.text) == ["NET_ADMIN", "MKNOD"])
        #expect(try capabilities(pod(mesh(), makesDevices: false))?["add"]?.items?.compactMap(\.text) == ["NET_ADMIN"])
    }

    @Test func `The line for the remote says that there is a mesh`() throws {
        let address = RemoteAddress(host: "job.example.com", port: .https, isSecure: true, isHTTP: true)
        let secrets = try RemoteSecrets.generate()
        #expect(try JoinCommands(of: service(mesh()), secrets, at: address).entries()["tidegate"]?.hasSuffix(" --mesh") == true)
        #expect(try JoinCommands(of: service(nil), secrets, at: address).entries()["tidegate"]?.hasSuffix(" -") == true)
    }

    // MARK: what a gateway tells

    private func terms(_ networks: [String], network: String = "10.7.0.0/30", mtu: Int = 1500) throws -> MeshTerms {
        MeshTerms(
            peer: try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 7, count: 32))), network: try CIDR(parsing: network),
            clusterCIDRs: try networks.map { try CIDR(parsing: $0) }, mtu: mtu)
    }

    @Test(arguments: [
        ["0.0.0.0/0"], ["0.0.0.0/1", "128.0.0.0/1"], ["127.0.0.0/8"], ["169.0.0.0/8"], ["169.254.169.254/32"], ["224.0.0.0/4"],
        ["240.0.0.0/8"],
        ["0.0.0.0/8"], [],
    ])
    func `No gateway leads a remote's traffic where it has no business`(networks: [String]) throws {
        #expect(try terms(networks).fault != nil)
    }

    @Test func `What may be`() throws {
        #expect(try terms(["10.0.0.0/8", "192.168.0.0/16"]).fault == nil)
        #expect(try terms(["10.0.0.0/8"], network: "10.7.0.0/24").fault?.hasPrefix("network") == true)
        #expect(try terms(["10.0.0.0/8"], network: "127.0.0.0/30").fault?.hasPrefix("network") == true)
        #expect(try terms(["10.0.0.0/8"], mtu: 100).fault?.hasPrefix("mtu") == true)
        #expect(try terms((0..<17).map { "10.\($0).0.0/16" }).fault?.hasPrefix("clusterCIDRs") == true)
    }

    // MARK: names

    @Test func `A pod's resolv.conf is read and written`() throws {
        let text = "search default.svc.cluster.local svc.cluster.local\nnameserver 10.96.0.10\noptions ndots:5\n"
        let settings = try #require(ResolverSettings(text: text))
        #expect(settings.text == text)
        #expect(ResolverSettings(text: "# nothing\nsearch a\n") == nil)
        #expect(ResolverSettings(text: "nameserver ::1\r\nnameserver x\ndomain a.b\n")?.text == "search a.b\nnameserver ::1\n")
    }

    @Test func `What a gateway tells of names cannot add a line or a word`() throws {
        let settings = ResolverSettings(
            servers: Array(repeating: try #require(IPAddress("10.0.0.1")), count: 9),
            search: ["a.b\nnameserver 6.6.6.6", "c d", "ok.example", "", "../x"], dots: 99)
        #expect(settings.checked?.text == "search ok.example\n" + String(repeating: "nameserver 10.0.0.1\n", count: 3))
        #expect(ResolverSettings(servers: [], search: ["a"]).checked == nil)
    }

    @Test func `Any bytes are read without harm`() {
        var random = SystemRandomNumberGenerator()
        let words = [
            "nameserver", "search", "options", "ndots:", "10.0.0.1", "\n", " ", "\t", "::1", "a.b", "ndots:3", "\r", "#", ";",
            "é",
        ]
        for _ in 0..<5_000 {
            let text = (0..<Int.random(in: 0...30, using: &random)).map { _ in words.randomElement(using: &random) ?? "" }
                .joined()
            guard let settings = ResolverSettings(text: text) else { continue }
            #expect(ResolverSettings(text: settings.text) == settings)
        }
    }
}
