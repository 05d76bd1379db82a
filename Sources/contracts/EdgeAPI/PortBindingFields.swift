public import Documents
public import JSON
import NetworkTypes

extension PortBinding {
    /// More on one object do not fit a document of `SyntaxLimits` anyway.
    static let mostBindings = 10_000

    /// Reads a PortBinding, filling defaults in; `problems` names all that is wrong with it.
    public static func decode(_ node: FieldNode, unknownFields: UnknownFields = .refused) -> Decoded<PortBinding> {
        let log = ProblemLog(unknownFields: unknownFields)
        return log.decoded(PortBinding(Field(document: node, log: log)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        fields.pass("apiVersion", "kind")
        let metadata = ObjectMeta(
            fields["metadata"], kind: Self.kind, expected: "a DNS name of lower-case letters, digits, - and .", where: isDNSName)
        let spec = PortBindingSpec(
            fields["spec"].required("the EdgeNode and its bindings"), namespace: metadata?.namespace ?? "")
        let status = PortBindingStatus(fields["status"])
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
                "edgeNodeRef": .fields(["name": .string(spec.edgeNodeName)]),
                "bindings": .array(spec.bindings.map(\.fieldValue)),
            ]),
            "status": status?.fieldValue,
        ])
    }
}

extension PortBindingSpec {
    init?(_ field: Field, namespace: String) {
        guard let fields = field.mapping() else { return nil }
        let name = Self.edgeNodeName(fields["edgeNodeRef"].required("which EdgeNode opens the ports"), namespace: namespace)
        let list = fields["bindings"].required("at least one binding")
        let items = list.sequence()
        fields.finish()
        if items?.isEmpty == true { list.fail("expected at least one binding, given an empty list") }
        if let count = items?.count, count > PortBinding.mostBindings {
            list.fail("expected at most \(PortBinding.mostBindings) bindings, given \(count); split the PortBinding")
            return nil
        }
        var firstUse: [String: Int] = [:]
        let bindings = items?.enumerated().compactMap { index, item -> Binding? in
            guard let binding = Binding(item) else { return nil }
            if let first = firstUse[binding.name] {
                item.fail("has the name \"\(binding.name)\" of bindings[\(first)]; each needs its own")
            } else {
                firstUse[binding.name] = index
            }
            return binding
        }
        guard let name, let bindings else { return nil }
        self.init(edgeNodeName: name, bindings: bindings)
    }

    private static func edgeNodeName(_ field: Field, namespace: String) -> String? {
        guard let fields = field.mapping() else { return nil }
        let name = fields["name"].required("the EdgeNode's name").string("an EdgeNode's name, a DNS label", where: isDNSLabel)
        let other = fields["namespace"]
        if let given = other.string(), given != namespace {
            other.fail("an EdgeNode is always one of the PortBinding's own namespace, \(namespace); remove this field")
        }
        fields.finish()
        return name
    }
}

extension Binding {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let name = fields["name"].required("a name of the binding's own").string("a DNS label", where: isDNSLabel)
        let `protocol` = fields["protocol"].required("TCP or UDP")
            .choice(TransportProtocol.allCases.map { (name: $0.rawValue, value: $0) })
        let portField = fields["listenPort"].required("the public port on the VPS")
        let listenPort = portField.port()
        if let listenPort, listenPort == .uplinkReadiness || listenPort == .envoyBridge {
            portField.fail("port \(listenPort) is Tidegate's own (40500 readiness, 40600 Envoy's bridge); take another")
        }
        let target = Target(fields["target"].required("a service, or an address and port"))
        let transport = Self.transport(fields, protocol: `protocol`)
        fields.finish()
        guard let name, let listenPort, let target, let transport else { return nil }
        self.init(name: name, listenPort: listenPort, target: target, transport: transport)
    }

    private static func transport(_ fields: FieldMapping, protocol: TransportProtocol?) -> Transport? {
        let (tcp, udp, tls) = (fields["tcp"], fields["udp"], fields["tls"])
        // All blocks are read, so that what is wrong inside a misplaced one is told too.
        var tcpOptions = TCPOptions(tcp)
        let udpOptions = UDPOptions(udp)
        tcpOptions.tls = TLSOptions(tls)
        switch `protocol` {
        case .tcp?:
            if udp.isPresent { udp.fail("belongs to UDP, and this binding is TCP; remove it or set protocol: UDP") }
            return .tcp(tcpOptions)
        case .udp?:
            if tcp.isPresent { tcp.fail("belongs to TCP, and this binding is UDP; remove it or set protocol: TCP") }
            if tls.isPresent { tls.fail("is for TCP only, and this binding is UDP; remove it") }
            return .udp(udpOptions)
        case nil: return nil
        }
    }

    var fieldValue: FieldValue {
        var fields: FieldMembers = [
            "name": .string(name),
            "protocol": .text(`protocol`),
            "listenPort": .port(listenPort),
            "target": target.fieldValue,
        ]
        switch transport {
        case .tcp(let options):
            fields["tcp"] = options.fieldValue
            fields["tls"] = options.tls?.fieldValue
        case .udp(let options):
            fields["udp"] = .fields([
                "sessionTimeout": .text(options.sessionTimeout),
                "maxDatagramBytes": .integer(options.maxDatagramBytes),
            ])
        }
        return .object(fields)
    }
}

extension UDPOptions {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        sessionTimeout = fields["sessionTimeout"].duration(.milliseconds(100) ... .seconds(86400)) ?? sessionTimeout
        // 65,507: 65,535 of an IPv4 packet less 20 of its header and 8 of UDP's.
        maxDatagramBytes = fields["maxDatagramBytes"].integer(1...65507, unit: "bytes") ?? maxDatagramBytes
        fields.finish()
    }
}
