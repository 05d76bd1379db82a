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

private let condition = Condition(
    type: "Ready", status: .true, reason: "Ready", message: "", lastTransitionTime: "2026-01-02T03:04:05Z", observedGeneration: 1)

extension FieldValue {
    func adding(_ name: String, _ value: FieldValue, to path: Substring) -> FieldValue? {
        guard case .object(var entries)? = self.value(at: path) else { return nil }
        entries[name] = value
        return replacing(path, with: .object(entries))
    }
}

func definitionAndFullObject(_ plural: String) throws -> (Definition, FieldValue) {
    (try Definition(plural), plural == Definition.edgeNode ? try fullEdgeNode() : try fullPortBinding())
}
