public import EdgeAPI
import NetworkTypes
public import NodeDocument
public import Planning
import Sodium

/// An EdgeNode `default/edge` with defaults all over.
public func edgeNode(
    _ name: String = "edge", namespace: String = "default", replicas: Int = 1, network: String = "10.200.0.0/24",
    annotations: [String: String] = [:]
) throws -> EdgeNode {
    EdgeNode(
        metadata: ObjectMeta(name: name, namespace: namespace, generation: 1, annotations: annotations),
        spec: EdgeNodeSpec(
            address: try HostAddress(parsing: "203.0.113.10"), ssh: SSHSpec(secretRef: NamespacedReference(name: "vps-ssh")),
            tunnel: TunnelSpec(network: try CIDR(parsing: network)), uplink: UplinkSpec(replicas: replicas)))
}

/// A PortBinding of EdgeNode `edge`, created in that second of one minute.
public func portBinding(
    _ name: String, of node: String = "edge", namespace: String = "default", second: Int = 0, _ bindings: [Binding]
) -> PortBinding {
    PortBinding(
        metadata: ObjectMeta(
            name: name, namespace: namespace, generation: 1,
            creationTimestamp: "2026-11-21T10:00:\(second < 10 ? "0" : "")\(second)Z"),
        spec: PortBindingSpec(edgeNodeName: node, bindings: bindings))
}

public func address(_ text: String, _ port: Int) throws -> Target {
    .address(try IPv4Address(parsing: text), port: try Port(port))
}

/// A TCP binding, to 10.96.0.10:8080 unless told otherwise.
public func tcp(_ name: String, _ port: Int, to target: Target? = nil, _ options: TCPOptions = TCPOptions()) throws -> Binding {
    Binding(name: name, listenPort: try Port(port), target: try target ?? address("10.96.0.10", 8080), transport: .tcp(options))
}

/// A UDP binding, to 10.96.0.10:8080 unless told otherwise.
public func udp(_ name: String, _ port: Int, to target: Target? = nil, _ options: UDPOptions = UDPOptions()) throws -> Binding {
    Binding(name: name, listenPort: try Port(port), target: try target ?? address("10.96.0.10", 8080), transport: .udp(options))
}

/// A TLS binding that takes some names of its port, or the whole port.
public func tls(_ name: String, _ port: Int, _ hostnames: [String] = [], mode: TLSOptions.Mode = .passthrough) throws -> Binding {
    try tcp(name, port, TCPOptions(tls: TLSOptions(mode: mode, hostnames: hostnames)))
}

public func service(_ name: String, namespace: String = "default", clusterIP: String?, _ ports: [ServicePort]) throws -> Service {
    Service(
        metadata: ObjectMeta(name: name, namespace: namespace), clusterIP: try clusterIP.map { try IPv4Address(parsing: $0) },
        ports: ports)
}

/// A plan's input with a key for every replica and an Envoy that is pushed.
public func planInput(
    _ node: EdgeNode, _ portBindings: [PortBinding], services: [Service] = [], certificates: [ObjectName: CertificateSource] = [:]
) throws -> PlanInput {
    var keys: [Int: WireGuardPublicKey] = [:]
    for ordinal in 0..<node.spec.uplink.replicas { keys[ordinal] = try publicKey(UInt8(ordinal % 200 + 1)) }
    return PlanInput(
        node: node, portBindings: portBindings,
        services: Dictionary(services.map { ($0.metadata.objectName, $0) }, uniquingKeysWith: { $1 }), certificates: certificates,
        uplinkKeys: keys, envoyRelease: EnvoyRelease(version: "1.40.0", sha256: SHA256.digest(of: "envoy"), url: nil))
}
