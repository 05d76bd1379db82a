import EdgeAPI
import JSON
import NetworkTypes
import Testing

// Objects with every field that there is, as Swift writes them.

func fullEdgeNode() throws -> FieldValue {
    let key = try #require(WireGuardPublicKey(bytes: [UInt8](repeating: 7, count: 32)))
    let word: [String: String] = ["a": "b"]
    let spec = EdgeNodeSpec(
        address: try HostAddress(parsing: "203.0.113.10"),
        ssh: SSHSpec(secretRef: NamespacedReference(name: "vps", namespace: "default")),
        tunnel: TunnelSpec(
            carriers: TunnelCarrier.allCases,
            link: LinkSpec(
                hostname: "link.example.com", path: "/link", url: "wss://www.example.com/link",
                secretRef: NamespacedReference(name: "link-tls", namespace: "default"),
                clientCASecretRef: NamespacedReference(name: "link-ca", namespace: "default"))),
        uplink: UplinkSpec(
            labels: word, annotations: word, resources: .object([:]), nodeSelector: word, tolerations: [.object([:])],
            affinity: .object([:]), proxySecret: "proxy", clientCertificateSecret: "uplink-tls"))
    var status = EdgeNodeStatus(
        conditions: [condition], observedGeneration: 1, relayPublicKey: key, wireGuardKind: "kernel", envoyVersion: "1.40.0",
        agentVersion: "1", appliedConfigHash: "ab", appliedBindings: 1,
        uplinks: [
            UplinkStatus(
                name: "edge-uplink-0", tunnelIP: try IPv4Address(parsing: "10.200.0.2"), publicKey: key,
                lastHandshake: "2026-01-02T03:04:05Z", ready: true, carriers: [.tls])
        ], readyUplinks: "1/1")
    status.linkPin = "ab"
    status.sshHostKey = "ssh-ed25519 AAAA"
    return EdgeNode(metadata: ObjectMeta(name: "edge"), spec: spec, status: status).fieldValue
}

func fullPortBinding() throws -> FieldValue {
    let tls = TLSOptions(
        mode: .mutual(NamespacedReference(name: "web-tls", namespace: "default")), hostnames: ["web.example.com"])
    let bindings = [
        Binding(
            name: "a", listenPort: try Port(443),
            target: .service(
                NamespacedReference(name: "web", namespace: "default"), port: .number(try Port(80)), resolve: .endpoints),
            transport: .tcp(TCPOptions(proxyProtocol: .v1, tls: tls))),
        Binding(
            name: "b", listenPort: try Port(53), target: .address(try IPv4Address(parsing: "10.0.0.1"), port: try Port(53)),
            transport: .udp(UDPOptions())),
    ]
    let status = PortBindingStatus(
        conditions: [condition], observedGeneration: 1,
        bindings: [
            BindingStatus(
                name: "a", address: "203.0.113.10:443", target: "10.0.0.1:80", ready: true, reason: .applied, message: "")
        ], readyBindings: "1/1", ports: "443/TCP")
    let full = PortBinding(
        metadata: ObjectMeta(name: "web"), spec: PortBindingSpec(edgeNodeName: "edge", bindings: bindings), status: status)
    // Read, but never written: it can only repeat the object's own namespace.
    return try #require(full.fieldValue.adding("namespace", .string("default"), to: "spec.edgeNodeRef"))
}

/// Both ways in, which one RemoteService cannot have.
func fullRemoteService() throws -> FieldValue {
    let ingress = RemoteIngress(
        className: "nginx", host: "job.example.com", tlsSecretName: "job-tls",
        issuer: RemoteIngress.Issuer(name: "ca", kind: "ClusterIssuer"))
    let status = RemoteServiceStatus(
        conditions: [condition], observedGeneration: 1, url: "wss://job.example.com", host: "job.example.com",
        joinSecret: "job-join",
        ports: [RemoteServiceStatus.PortStatus(name: "http", client: .tidegate, message: "m")], connectedPorts: "1/1")
    let full = RemoteService(
        metadata: ObjectMeta(name: "job"),
        spec: RemoteServiceSpec(
            ports: [RemotePort(name: "http", protocol: .tcp, port: try Port(80), targetPort: try Port(8080))],
            clients: RemoteClientKind.allCases,
            gateway: RemoteGateway(entrance: .ingress(ingress), forwards: ["127.0.0.1:51820"]),
            mesh: RemoteMesh(clusterCIDRs: [try CIDR(parsing: "10.96.0.0/12")])), status: status)
    let node: FieldValue = ["name": "edge", "listenPort": 8443]
    return try #require(full.fieldValue.adding("edgeNodeRef", node, to: "spec.gateway"))
}

private let condition = Condition(
    type: "Ready", status: .true, reason: "Ready", message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1)

/// The same without what a RemoteService may not have beside that field.
func withoutRivals(_ full: FieldValue, of path: String) throws -> FieldValue {
    guard full["kind"]?.text == RemoteService.kind else { return full }
    func left(_ name: String, _ place: Substring, _ object: FieldValue) throws -> FieldValue {
        try #require(object.adding(name, .null, to: place))
    }
    if path.hasPrefix("spec.gateway.edgeNodeRef") { return try left("ingress", "spec.gateway", full) }
    let byIngress = try left("edgeNodeRef", "spec.gateway", full)
    return try left(path.contains("tlsSecretName") ? "issuerRef" : "tlsSecretName", "spec.gateway.ingress", byIngress)
}

extension FieldValue {
    func adding(_ name: String, _ value: FieldValue, to path: Substring) -> FieldValue? {
        guard case .object(var entries)? = self.value(at: path) else { return nil }
        entries[name] = value
        return replacing(path, with: .object(entries))
    }
}

func definitionAndFullObject(_ plural: String) throws -> (Definition, FieldValue) {
    let full =
        switch plural {
        case Definition.edgeNode: try fullEdgeNode()
        case Definition.remoteService: try fullRemoteService()
        default: try fullPortBinding()
        }
    return (try Definition(plural), full)
}
