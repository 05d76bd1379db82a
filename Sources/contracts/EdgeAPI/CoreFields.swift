public import Documents
import JSON
import NetworkTypes
import Sodium

extension Secret {
    /// Reads `data` and `stringData` of a core/v1 Secret; no message ever repeats a value of it.
    public static func decode(_ node: FieldNode, unknownFields: UnknownFields = .refused) -> Decoded<Secret> {
        let log = ProblemLog(unknownFields: unknownFields)
        return log.decoded(Secret(Field(document: node, log: log, isSecret: true)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        fields.pass("apiVersion", "kind", "type", "immutable")
        let metadata = ObjectMeta(fields["metadata"], kind: Self.kind, expected: "a DNS name", where: isDNSName)
        var data: [String: SecretBytes] = [:]
        for (key, item) in fields["data"].entries("a mapping of base64 texts") ?? [] {
            guard let bytes = Self.decodeData(item, key: key) else { continue }
            data[key] = bytes
        }
        // stringData wins over data of the same key, as in the API server.
        for (key, item) in fields["stringData"].entries("a mapping of texts") ?? [] {
            Self.checkKey(key, of: item)
            if !item.isPresent {
                item.log.add(
                    "is empty: to YAML a text that begins with # is a comment; put it in quotes", path: item.path,
                    position: item.position, severity: .warning)
            }
            guard let text = item.isPresent ? item.string() : "" else { continue }
            data[key] = Self.keep(Array(text.utf8), of: item)
        }
        fields.finish()
        guard var metadata else { return nil }
        // kubectl keeps the whole Secret in an annotation (last-applied-configuration).
        metadata.keepOwnersWord()
        self.init(metadata: metadata, data: data)
    }

    private static func decodeData(_ item: Field, key: String) -> SecretBytes? {
        checkKey(key, of: item)
        guard let text = item.isPresent ? item.string("base64") : "" else { return nil }
        guard let bytes = decodeBase64(text.filter { !$0.isNewline && $0 != " " }) else {
            item.fail("expected base64; plain text belongs under stringData")
            return nil
        }
        return keep(bytes, of: item)
    }

    private static func checkKey(_ key: String, of item: Field) {
        let isKey = (1...253).contains(key.utf8.count) && !key.hasPrefix("..") && key != "." && isKeyText(key)
        if !isKey { item.fail("the key must be of letters, digits, -, _ and .") }
    }

    private static func isKeyText(_ key: String) -> Bool {
        key.unicodeScalars.allSatisfy { scalar in
            switch scalar {
            case "a"..."z", "A"..."Z", "0"..."9", "-", "_", ".": true
            default: false
            }
        }
    }

    private static func keep(_ bytes: [UInt8], of item: Field) -> SecretBytes? {
        var bytes = bytes
        do throws(SodiumError) {
            return try SecretBytes(consuming: &bytes)
        } catch {
            item.fail("cannot be kept: \(error)")
            return nil
        }
    }

    /// The whole Secret as JSON, its values in base64: for the API server or a file that only its owner reads.
    public func secretJSON() -> [UInt8] {
        let values = data.mapValues { value in value.withUnsafeBytes { encodeBase64($0) } }
        let value = FieldValue.fields([
            "apiVersion": .string("v1"),
            "kind": .string(Self.kind),
            "metadata": metadata.fieldValue,
            "data": .texts(values),
        ])
        return Array(value.json.utf8)
    }
}

extension Service {
    /// Reads the cluster IP and ports of a core/v1 Service; all its other fields are passed over.
    public static func decode(_ node: FieldNode) -> Decoded<Service> {
        let log = ProblemLog(unknownFields: .ignored)
        return log.decoded(Service(Field(document: node, log: log)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let metadata = ObjectMeta(fields["metadata"], kind: Self.kind, expected: "a DNS label", where: isDNSLabel)
        let spec = fields["spec"].mapping()
        let (clusterIP, absence) = Self.clusterIP(spec)
        let ports = spec?["ports"].sequence()?.compactMap { ServicePort($0) } ?? []
        guard var metadata else { return nil }
        metadata.keepOwnersWord()
        self.init(metadata: metadata, clusterIP: clusterIP, ports: ports)
        self.absence = absence
    }

    /// The IPv4 one of `clusterIP` and, with two families, `clusterIPs`. A Service of IPv6 alone has none we can reach.
    private static func clusterIP(_ spec: FieldMapping?) -> (IPv4Address?, Absence) {
        guard let spec else { return (nil, .notGiven) }
        if spec["type"].string() == "ExternalName" { return (nil, .external(spec["externalName"].string() ?? "")) }
        let fields = [spec["clusterIP"]] + (spec["clusterIPs"].sequence() ?? [])
        var absence = Absence.notGiven
        for field in fields {
            guard let text = field.string("an IP address, or None"), !text.isEmpty else { continue }
            if text == "None" {
                absence = .headless
                continue
            }
            switch field.parsed(IPAddress.self, "an IP address, or None") {
            case .v4(let address)?: return (address, .notGiven)
            case .v6?: absence = .onlyIPv6
            case nil: continue
            }
        }
        return (nil, absence)
    }
}

extension ServicePort {
    /// Nil, without a problem, for SCTP.
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        // An EndpointSlice has an empty one where a Service has none.
        let name = fields["name"].string().flatMap { $0.isEmpty ? nil : $0 }
        let transport = fields["protocol"].string() ?? TransportProtocol.tcp.rawValue
        let port = fields["port"].required("the Service's port").port()
        guard let port, let transport = TransportProtocol(rawValue: transport) else { return nil }
        self.init(name: name, protocol: transport, port: port)
    }
}

extension EndpointSlice {
    /// Reads what is ready of a slice; all its other fields are passed over. One of another family than IPv4 holds nothing.
    public static func decode(_ node: FieldNode) -> Decoded<EndpointSlice> {
        let log = ProblemLog(unknownFields: .ignored)
        return log.decoded(EndpointSlice(Field(document: node, log: log)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let metadata = fields["metadata"].mapping()
        let namespace = metadata?["namespace"].string() ?? ""
        let name = metadata?["labels"].mapping()?[Self.serviceLabel].string()
        var ready: [IPv4Address] = []
        if fields["addressType"].string() == "IPv4" {
            for endpoint in fields["endpoints"].sequence() ?? [] where ready.count < Self.mostAddresses {
                guard let endpoint = endpoint.mapping() else { continue }
                // Absent counts as ready (the type's documentation).
                guard endpoint["conditions"].mapping()?["ready"].bool() ?? true else { continue }
                // The first stands for all (the type's documentation).
                let text = endpoint["addresses"].sequence()?.first?.string()
                guard let address = text.flatMap({ IPv4Address($0) }), isUnicast(address) else { continue }
                ready.append(address)
            }
        }
        // A port without a number stands for all ports, which is no target.
        let ports = (fields["ports"].sequence() ?? []).filter { $0.peek("port").isPresent }.compactMap { ServicePort($0) }
        self.init(service: name.map { ObjectName(namespace: namespace, name: $0) }, ready: ready, ports: ports)
    }
}

extension ObjectMeta {
    /// Of the annotations keeps only whom the owner allows to use the object.
    fileprivate mutating func keepOwnersWord() {
        annotations = annotations.filter { $0.key == APIName.allowReferencesAnnotation }
    }
}
