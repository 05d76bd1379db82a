public import Documents
public import JSON
import NetworkTypes

extension RemoteService {
    /// Characters of a name: a Service, a Deployment and its pods are called by it.
    public static let longestName = 45
    /// Of one object; the definition says so too.
    public static let mostPorts = 100
    static let mostForwards = 16

    /// Reads a RemoteService, filling defaults in; `problems` names all that is wrong with it.
    public static func decode(_ node: FieldNode, unknownFields: UnknownFields = .refused) -> Decoded<RemoteService> {
        let log = ProblemLog(unknownFields: unknownFields)
        return log.decoded(RemoteService(Field(document: node, log: log)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        fields.pass("apiVersion", "kind")
        let metadata = ObjectMeta(
            fields["metadata"], kind: Self.kind,
            expected: "at most \(Self.longestName) lower-case letters, digits and -, beginning with a letter",
            where: { $0.utf8.count <= Self.longestName && isServiceName($0) })
        let spec = RemoteServiceSpec(fields["spec"].required("the ports and the gateway"))
        let status = RemoteServiceStatus(fields["status"])
        fields.finish()
        guard let metadata, let spec else { return nil }
        self.init(metadata: metadata, spec: spec, status: status)
    }

    /// As the API has it, defaults written out.
    public var fieldValue: FieldValue {
        .fields([
            "apiVersion": .string(APIName.groupVersion),
            "kind": .string(Self.kind),
            "metadata": metadata.fieldValue,
            "spec": .fields([
                "ports": .array(spec.ports.map(\.fieldValue)),
                "clients": .array(spec.clients.map { .string($0.rawValue) }),
                "gateway": spec.gateway.fieldValue,
                "mesh": spec.mesh?.fieldValue,
            ]),
            "status": status?.fieldValue,
        ])
    }
}

/// A Service's name (RFC 1035): a DNS label that begins with a letter.
private func isServiceName(_ text: String) -> Bool {
    isDNSLabel(text) && text.utf8.first.map { $0 >= UInt8(ascii: "a") } == true
}

extension RemoteServiceSpec {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let list = fields["ports"].required("at least one port")
        let items = list.sequence()
        let clients = Self.clients(fields["clients"])
        let gateway = RemoteGateway(fields["gateway"].required("an ingress or an edgeNodeRef, where the remote comes in"))
        let meshField = fields["mesh"]
        let mesh = meshField.isPresent ? RemoteMesh(meshField) : nil
        fields.finish()
        if meshField.isPresent, let clients, !clients.contains(.tidegate) {
            meshField.fail("is Tidegate's own, and spec.clients has no Tidegate: add it, or remove the mesh")
        }
        if let count = items?.count, !(1...RemoteService.mostPorts).contains(count) {
            list.fail("expected 1 to \(RemoteService.mostPorts) ports, given \(count)")
            return nil
        }
        var names: Set<String> = []
        var keys: Set<RemotePort.Key> = []
        let ports = items?.compactMap { item -> RemotePort? in
            guard let port = RemotePort(item) else { return nil }
            if !names.insert(port.name).inserted { item.fail("has the name \"\(port.name)\" of another; each needs its own") }
            if meshField.isPresent, port.isMeshes { list.fail("must leave UDP \(Port.mesh) to the mesh") }
            if !keys.insert(port.key).inserted { item.fail("is \(port.key) as another is; each port can be had once") }
            return port
        }
        guard let ports, let clients, let gateway else { return nil }
        self.init(ports: ports, clients: clients, gateway: gateway, mesh: mesh)
    }

    private static func clients(_ field: Field) -> [RemoteClientKind]? {
        guard field.isPresent else { return [.tidegate] }
        guard let items = field.sequence() else { return nil }
        let kinds = items.compactMap { $0.choice(RemoteClientKind.allCases.map { (name: $0.rawValue, value: $0) }) }
        if items.isEmpty { field.fail("expected at least one of Tidegate, Wstunnel and Rathole, given an empty list") }
        if Set(kinds).count < kinds.count { field.fail("has a client twice") }
        return kinds
    }
}

extension RemotePort {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        // A name of a container's port (RFC 6335, section 5.1), which a Service's may be too.
        let name = fields["name"].required("a name of the port's own")
            .string(
                "at most 15 lower-case letters, digits and -",
                where: { isDNSLabel($0) && $0.utf8.count <= RemotePort.longestName })
        let kind = fields["protocol"]
        let `protocol` =
            kind.isPresent ? kind.choice(TransportProtocol.allCases.map { (name: $0.rawValue, value: $0) }) : .tcp
        let portField = fields["port"].required("the Service's port")
        let port = portField.port()
        let targetPort = fields["targetPort"].isPresent ? fields["targetPort"].port() : port
        fields.finish()
        guard let name, let `protocol`, let port, let targetPort else { return nil }
        self.init(name: name, protocol: `protocol`, port: port, targetPort: targetPort)
        if isGateways { portField.fail("port \(port) is the gateway's own; take another") }
    }

    var fieldValue: FieldValue {
        .fields([
            "name": .string(name), "protocol": .text(`protocol`), "port": .port(port), "targetPort": .port(targetPort),
        ])
    }
}

extension RemoteMesh {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let list = fields["clusterCIDRs"].required("the networks that the remote reaches: the cluster's pods and services")
        let items = list.sequence()
        if let count = items?.count, !(1...MeshBounds.mostNetworks).contains(count) {
            list.fail("expected 1 to \(MeshBounds.mostNetworks) networks, given \(count)")
        }
        let networks = items?.compactMap { Self.network($0) }
        let networkField = fields["network"]
        let network = networkField.isPresent ? Self.network(networkField) : MeshBounds.usualNetwork
        let mtuField = fields["mtu"]
        let bounds = Int64(MeshBounds.mtus.lowerBound)...Int64(MeshBounds.mtus.upperBound)
        let mtu = mtuField.isPresent ? mtuField.integer(bounds, unit: "bytes") : MeshBounds.usualMTU
        fields.finish()
        guard let networks, let network, let mtu else { return nil }
        if network.prefixLength != MeshBounds.networkLength {
            networkField.fail("expected a /\(MeshBounds.networkLength), which holds the two ends' addresses, given \(network)")
        }
        if Set(networks).count < networks.count { list.fail("has a network twice") }
        self.init(clusterCIDRs: networks, network: network, mtu: mtu)
    }

    private static func network(_ field: Field) -> CIDR? {
        guard let network = field.parsed(CIDR.self, "an IPv4 network such as 10.244.0.0/16") else { return nil }
        if let obstacle = MeshBounds.obstacle(to: network) { field.fail("\(network) \(obstacle)") }
        return network
    }

    var fieldValue: FieldValue {
        [
            "clusterCIDRs": .array(clusterCIDRs.map { .text($0) }), "network": .text(network), "mtu": .integer(mtu),
        ]
    }
}

extension RemoteGateway {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let (ingress, node) = (fields["ingress"], fields["edgeNodeRef"])
        let entrance: Entrance?
        switch (ingress.isPresent, node.isPresent) {
        case (true, true), (false, false):
            field.fail("must have exactly one of ingress and edgeNodeRef, by which the remote comes in")
            entrance = nil
        case (true, false): entrance = RemoteIngress(ingress).map { .ingress($0) }
        case (false, true): entrance = Self.node(node)
        }
        let forwardsField = fields["forwards"]
        let forwards =
            forwardsField.isPresent ? forwardsField.sequence()?.compactMap { $0.string("HOST:PORT", where: isHostAndPort) } : []
        if let count = forwards?.count, count > RemoteService.mostForwards {
            forwardsField.fail("expected at most \(RemoteService.mostForwards), given \(count)")
        }
        if let forwards, Set(forwards).count < forwards.count { forwardsField.fail("has a place twice") }
        fields.finish()
        guard let entrance, let forwards else { return nil }
        self.init(entrance: entrance, forwards: forwards)
    }

    private static func node(_ field: Field) -> Entrance? {
        guard let fields = field.mapping() else { return nil }
        let name = fields["name"].required("the EdgeNode's name").string("an EdgeNode's name, a DNS label", where: isDNSLabel)
        let portField = fields["listenPort"].required("the public port on the VPS")
        let port = portField.port()
        if let port, port == .uplinkReadiness || port == .envoyBridge {
            portField.fail("port \(port) is Tidegate's own (40500 readiness, 40600 Envoy's bridge); take another")
        }
        fields.finish()
        guard let name, let port else { return nil }
        return .edgeNode(name: name, listenPort: port)
    }

    var fieldValue: FieldValue {
        var fields: FieldMembers = [:]
        switch entrance {
        case .ingress(let ingress): fields["ingress"] = ingress.fieldValue
        case .edgeNode(let name, let port): fields["edgeNodeRef"] = ["name": .string(name), "listenPort": .port(port)]
        }
        if !forwards.isEmpty { fields["forwards"] = .array(forwards.map { .string($0) }) }
        return .object(fields)
    }
}

/// `HOST:PORT`, of IPv6 without brackets.
private func isHostAndPort(_ text: String) -> Bool {
    guard let colon = text.lastIndex(of: ":"), let number = Int(text[text.index(after: colon)...]), (try? Port(number)) != nil
    else { return false }
    return HostAddress(String(text[..<colon])) != nil
}

extension RemoteIngress {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let className = fields["className"].string("an IngressClass's name", where: isDNSName)
        let host = fields["host"].string("a lower-case DNS name", where: { isServerName($0) && !$0.hasPrefix("*") })
        let secret = fields["tlsSecretName"].string("a Secret's name", where: isDNSName)
        let issuerField = fields["issuerRef"]
        let issuer = issuerField.isPresent ? Issuer(issuerField) : nil
        fields.finish()
        if secret != nil, issuerField.isPresent {
            issuerField.fail("makes the Secret of the certificate itself; remove it or tlsSecretName")
        }
        self.init(className: className, host: host, tlsSecretName: secret, issuer: issuer)
    }

    var fieldValue: FieldValue {
        .fields([
            "className": className.map { .string($0) }, "host": host.map { .string($0) },
            "tlsSecretName": tlsSecretName.map { .string($0) },
            "issuerRef": issuer.map { ["name": .string($0.name), "kind": .string($0.kind)] },
        ])
    }
}

extension RemoteIngress.Issuer {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let name = fields["name"].required("the issuer's name").string("an issuer's name", where: isDNSName)
        let kindField = fields["kind"]
        let kind = kindField.isPresent ? kindField.choice(Self.kinds.map { (name: $0, value: $0) }) : "Issuer"
        fields.finish()
        guard let name, let kind else { return nil }
        self.init(name: name, kind: kind)
    }
}

extension RemoteServiceStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        self.init(
            conditions: fields["conditions"].sequence()?.compactMap { Condition($0) } ?? [],
            observedGeneration: Int64(fields["observedGeneration"].integer(0...Int64.max) ?? 0), url: fields["url"].string(),
            host: fields["host"].string(), joinSecret: fields["joinSecret"].string(),
            ports: fields["ports"].sequence()?.compactMap { PortStatus($0) } ?? [],
            connectedPorts: fields["connectedPorts"].string())
    }

    /// As the API has it.
    public var fieldValue: FieldValue {
        .fields([
            "conditions": .array(conditions.map(\.fieldValue)),
            "observedGeneration": observedGeneration == 0 ? nil : .integer(observedGeneration),
            "url": url.map { .string($0) }, "host": host.map { .string($0) }, "joinSecret": joinSecret.map { .string($0) },
            "ports": .array(ports.map(\.fieldValue)), "connectedPorts": connectedPorts.map { .string($0) },
        ])
    }
}

extension RemoteServiceStatus.PortStatus {
    init?(_ field: Field) {
        guard let fields = field.mapping(), let name = fields["name"].string() else { return nil }
        self.init(
            name: name, client: fields["client"].string().flatMap { RemoteClientKind(rawValue: $0) },
            message: fields["message"].string() ?? "")
    }

    var fieldValue: FieldValue {
        .fields([
            "name": .string(name), "connected": .bool(client != nil), "client": client.map { .string($0.rawValue) },
            "message": message.isEmpty ? nil : .string(message),
        ])
    }
}
