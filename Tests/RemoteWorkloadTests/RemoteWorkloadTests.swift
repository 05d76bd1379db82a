import Documents
import EdgeAPI
import FoundationEssentials
import JSON
import KubernetesAPI
import NetworkTypes
import NodeDocument
import RemoteDocuments
import Sodium
import Testing

@testable import RemoteWorkload

private func service(
    _ name: String = "job", namespace: String = "batch", clients: [RemoteClientKind] = RemoteClientKind.allCases,
    entrance: RemoteGateway.Entrance = .ingress(RemoteIngress(className: "nginx"))
) throws -> RemoteService {
    RemoteService(
        metadata: ObjectMeta(name: name, namespace: namespace, uid: "1234"),
        spec: RemoteServiceSpec(
            ports: [
                RemotePort(name: "http", protocol: .tcp, port: try Port(80), targetPort: try Port(8080)),
                RemotePort(name: "dns", protocol: .udp, port: try Port(53), targetPort: try Port(5353)),
            ], clients: clients, gateway: RemoteGateway(entrance: entrance)))
}

@Suite struct JoinCommandsTests {
    private let secrets: RemoteSecrets

    init() throws { secrets = try .generate() }

    private func commands(
        _ service: RemoteService,
        _ address: RemoteAddress = RemoteAddress(host: "a.example.com", port: .https, isSecure: true, isHTTP: true)
    ) -> JoinCommands {
        JoinCommands(of: service, secrets, at: address)
    }

    @Test func `Only the clients that may join have their lines`() throws {
        #expect(Set(try commands(service(clients: [.tidegate])).entries().keys) == ["url", "token", "tidegate"])
        #expect(Set(try commands(service(clients: [.wstunnel])).entries().keys) == ["url", "wstunnel", "password"])
        #expect(
            Set(try commands(service(clients: [.rathole])).entries().keys) == ["url", "client.toml", "rathole", "password"])
    }

    @Test func `The token leads to the gateway and holds the remote's key`() throws {
        var text = Array(try #require(try commands(service()).entries()["token"]).utf8)
        let token = try RemoteToken(consuming: &text)
        #expect(token.facts.service == "batch/job")
        #expect(token.facts.url == "wss://a.example.com")
        #expect(token.facts.path == secrets.path)
        #expect(token.facts.pin == secrets.gatewayKey.pin)
        #expect(token.key == secrets.remoteKey)
        #expect(text.allSatisfy { $0 == 0 })
    }

    @Test func `A token that was cut or altered is refused and not repeated`() throws {
        let whole = Array(try #require(try commands(service()).entries()["token"]).utf8)
        for count in stride(from: 0, to: whole.count, by: 7) {
            var text = Array(whole.prefix(count))
            #expect(throws: InvalidValue.self) { try RemoteToken(consuming: &text) }
        }
        for place in stride(from: 20, to: whole.count, by: 11) {
            var text = whole
            text[place] ^= 1
            #expect(throws: InvalidValue.self) { try RemoteToken(consuming: &text) }
        }
    }

    @Test func `The line of wstunnel has an option for each port`() throws {
        let line = commands(try service()).wstunnel(nil)
        #expect(
            line == "wstunnel client --http-upgrade-path-prefix \(secrets.password) -R tcp://0.0.0.0:80:localhost:8080 "
                + "-R udp://0.0.0.0:53:localhost:5353 wss://a.example.com")
        let own = commands(try service()).wstunnel("get && wstunnel client -P %s %s ws://%s:80")
        #expect(
            own == "get && wstunnel client -P \(secrets.password) -R tcp://0.0.0.0:80:localhost:8080 "
                + "-R udp://0.0.0.0:53:localhost:5353 ws://a.example.com:80")
    }

    /// Stock rathole 0.5 refuses fields that it does not know, `cert` and `key` among them.
    @Test func `rathole's configuration`() throws {
        #expect(
            commands(try service()).ratholeConfiguration == """
                [client]
                remote_addr = "a.example.com:443"
                default_token = "\(secrets.password)"

                [client.transport]
                type = "websocket"

                [client.transport.websocket]
                tls = true

                [client.transport.tls]
                hostname = "a.example.com"

                [client.services.p80]
                local_addr = "127.0.0.1:8080"

                [client.services.u53]
                type = "udp"
                local_addr = "127.0.0.1:5353"

                """)
        let plain = RemoteAddress(host: "203.0.113.9", port: try Port(8443), isSecure: false, isHTTP: false)
        let text = commands(try service(), plain).ratholeConfiguration
        #expect(text.contains("remote_addr = \"203.0.113.9:8443\""))
        #expect(text.contains("type = \"tcp\""))
        #expect(!text.contains("websocket"))
    }

    @Test(
        arguments: [
            ("a.b", 443, true, "wss://a.b"), ("a.b", 80, false, "ws://a.b"), ("a.b", 8443, false, "ws://a.b:8443"),
            ("2001:db8::1", 8443, true, "wss://[2001:db8::1]:8443"),
        ])
    func `Where the remote comes in`(host: String, port: Int, isSecure: Bool, url: String) throws {
        #expect(RemoteAddress(host: host, port: try Port(port), isSecure: isSecure, isHTTP: true).url == url)
    }
}

@Suite struct RemoteNamesTests {
    private func names(_ name: String, _ namespace: String) -> RemoteNames {
        RemoteNames(of: ObjectName(namespace: namespace, name: name))
    }

    @Test func `Hosts that two could want are told apart`() {
        let (one, other) = (names("a-b", "c").hosts(below: "x.y"), names("a", "b-c").hosts(below: "x.y"))
        #expect(one.first == "a-b-c.x.y")
        #expect(other.first == one.first)
        #expect(one.last != other.last)
        #expect(one.last?.hasPrefix("a-b-c-") == true)
    }

    @Test func `A host's first label has no more than 63 characters`() {
        let hosts = names(String(repeating: "n", count: 45), String(repeating: "m", count: 63)).hosts(below: "x.y")
        #expect(hosts.count == 1)
        #expect(hosts.allSatisfy { $0.prefix { $0 != "." }.utf8.count <= 63 })
    }

    /// Whatever RemoteServices of a namespace are called.
    @Test func `No two have an object of one kind and name`() {
        let words = ["a", "a-gateway", "a-join", "a-gateway-gateway", "a-gateway-tls", "gateway", "join"]
        var seen: Set<String> = []
        for names in words.map({ names($0, "n") }) {
            let objects = [
                ("Service", names.service), ("Deployment", names.deployment), ("Secret", names.gatewaySecret),
                ("Secret", names.joinSecret),
                ("Ingress", names.ingress), ("PortBinding", names.portBinding), ("Certificate", names.certificate),
            ]
            for (kind, name) in objects { #expect(seen.insert("\(kind) \(name)").inserted, "\(kind) \(name)") }
            #expect(seen.insert("Secret \(names.certificate)").inserted)
        }
    }
}

extension RemoteObjects {
    /// With some key.
    func workload(host: String?) -> [Object] { workload(host: host, gatewayKey: SHA256.digest(of: "key")) }
}

@Suite struct RemoteObjectsTests {
    private func objects(_ service: RemoteService) -> RemoteObjects {
        RemoteObjects(of: service, image: "example.com/uplink:1", environment: ["LOG_LEVEL": "info"])
    }

    @Test func `All are owned, and none of the remote's secrets is in what is no Secret`() throws {
        let secrets = try RemoteSecrets.generate()
        let service = try service()
        let made = objects(service).workload(host: "a.example.com")
        for object in made {
            guard let value = object.value else { continue }
            #expect(value["metadata"]?["ownerReferences"]?.items.first?["uid"]?.text == "1234", "\(object.name)")
            for word in [secrets.password, secrets.path] { #expect(!value.json.contains(word)) }
        }
        #expect(made.map(\.resource.kind) == ["Service", "Deployment", "Ingress", "PortBinding"])
        #expect(made.last?.value == nil)
    }

    /// What the API server gets; the chart's admission policy is tested on it too (Tests/Lab/kube_tests/test_gateway_policy.py).
    @Test(arguments: [("deployment.json", false), ("deployment-mesh.json", true)])
    func `The Deployment is as it was`(name: String, hasMesh: Bool) throws {
        var service = try service()
        if hasMesh { service.spec.mesh = RemoteMesh(clusterCIDRs: [try CIDR(parsing: "10.96.0.0/12")]) }
        let made = RemoteObjects(
            of: service, image: "ghcr.io/achetronic/tunnel/uplink:1", environment: ["LOG_LEVEL": "info"]
        ).workload(host: nil)
        let deployment = try #require(made.first { $0.resource.kind == "Deployment" }?.value)
        let folder = #filePath.split(separator: "/").dropLast().joined(separator: "/")
        #expect(
            try String(contentsOfFile: "/\(folder)/Goldens/\(name)", encoding: .utf8) == deployment.json + "\n",
            "\(deployment.json)")
    }

    /// A gateway has its key for life: another key wants another pod.
    @Test func `The pods' template follows the gateway's key, and tells no more than its pin`() throws {
        func template(_ secrets: RemoteSecrets) throws -> FieldValue? {
            let made = objects(try service()).workload(host: nil, gatewayKey: secrets.gatewayKey.pin)
            return made.first { $0.resource == .deployments }?.value?["spec"]?["template"]
        }
        let (one, other) = (try RemoteSecrets.generate(), try RemoteSecrets.generate())
        #expect(try template(one) == template(one))
        #expect(try template(one) != template(other))
    }

    @Test func `The gateway's pod does not get the remote's key`() throws {
        let deployment = try #require(
            objects(try service()).workload(host: nil).first { $0.resource.kind == "Deployment" }?.value)
        let volume = try #require(deployment["spec"]?["template"]?["spec"]?["volumes"]?.items.first?["secret"])
        let keys = volume["items"]?.items.compactMap { $0["key"]?.text } ?? []
        #expect(keys.sorted() == ["gateway.json", "key", "password", "path"])
    }

    @Test func `The Secret gives back what was put in`() throws {
        let secrets = try RemoteSecrets.generate()
        let value = try #require(try objects(try service()).gatewaySecret(secrets).value)
        #expect(RemoteSecrets(of: FieldNode(value: value)) == secrets)
        let document = try #require(value["data"]?["gateway.json"]?.text.flatMap { decodeBase64($0) })
        let read = try DocumentJSON.decode(GatewayDocument.self, from: document)
        #expect(try read == service().gatewayDocument(secrets))
        #expect(read.fault == nil)
    }

    @Test(arguments: ["key", "remote-key", "password", "path"])
    func `Keys that are none are not taken`(name: String) throws {
        let value = try #require(try objects(try service()).gatewaySecret(try .generate()).value)
        for broken in ["", "!", encodeBase64([1, 2, 3]), encodeBase64(Array(repeating: 0x0A, count: 32))]
        where name != "key" || broken.count < 20 {
            let altered = try #require(value.replacing("data", name, with: .string(broken)))
            if name.hasSuffix("key"), broken.count > 20 { continue }
            #expect(RemoteSecrets(of: FieldNode(value: altered)) == nil, "\(broken)")
        }
    }

    @Test func `On an EdgeNode it is a PortBinding and no Ingress`() throws {
        let made = objects(try service(entrance: .edgeNode(name: "edge", listenPort: try Port(8443)))).workload(host: nil)
        let binding = try #require(made.first { $0.resource.kind == "PortBinding" }?.value)
        let decoded = PortBinding.decode(FieldNode(value: binding))
        #expect(decoded.problems == [])
        #expect(decoded.value?.spec.edgeNodeName == "edge")
        #expect(made.first { $0.resource.kind == "Ingress" }.map { $0.value == nil } == true)
    }
}

extension FieldValue {
    fileprivate subscript(name: String) -> FieldValue? { if case .object(let members) = self { members[name] } else { nil } }
    fileprivate var text: String? { if case .string(let text) = self { text } else { nil } }
    fileprivate var items: [FieldValue] { if case .array(let items) = self { items } else { [] } }

    fileprivate func replacing(_ part: String, _ name: String, with value: FieldValue) -> FieldValue? {
        guard case .object(var members) = self, case .object(var below)? = members[part] else { return nil }
        below[name] = value
        members[part] = .object(below)
        return .object(members)
    }
}
