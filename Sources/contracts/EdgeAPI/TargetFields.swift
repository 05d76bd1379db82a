import Documents
import JSON
import NetworkTypes

extension Target {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let (service, address, port) = (fields["service"], fields["address"], fields["port"])
        defer { fields.finish() }
        switch (service.isPresent, address.isPresent) {
        case (true, true):
            field.fail("has both a service and an address; keep one")
            return nil
        case (false, false):
            field.fail("needs a service (name and port), or an address and port")
            return nil
        case (true, false):
            if port.isPresent { port.fail("belongs inside service: a Service's port is service.port") }
            guard let target = Self.service(service) else { return nil }
            self = target
        case (false, true):
            let port = port.required("the port at the address").port()
            guard let host = Self.host(address), let port else { return nil }
            self = host.ipv4.map { .address($0, port: port) } ?? .host(host, port: port)
        }
    }

    private static func service(_ field: Field) -> Target? {
        guard let fields = field.mapping("a mapping of name, namespace and port") else { return nil }
        let name = fields["name"].required("the Service's name").string("a Service's name, a DNS label", where: isDNSLabel)
        let namespace = fields["namespace"].string("a DNS label", where: isDNSLabel)
        let port = servicePort(fields["port"].required("the Service's port, by number or name"))
        let resolution = fields["resolve"].choice(ServiceResolution.allCases.map { (name: $0.rawValue, value: $0) })
        fields.finish()
        guard let name, let port else { return nil }
        return .service(
            NamespacedReference(name: name, namespace: namespace), port: port, resolve: resolution ?? .clusterIP)
    }

    private static func servicePort(_ field: Field) -> ServicePortReference? {
        guard case .string(let text)? = field.node?.content else { return field.port().map { .number($0) } }
        if !text.isEmpty, text.utf8.allSatisfy({ (0x30...0x39).contains($0) }) {
            field.fail("\"\(printable(text))\" is a number in quotes, which would be a port's name; take the quotes off")
            return nil
        }
        let isName = { (text: String) in isDNSLabel(text) && text.utf8.contains { (0x61...0x7A).contains($0) } }
        return field.string("a port's number, or its name in the Service, a DNS label", where: isName).map { .name($0) }
    }

    private static func host(_ field: Field) -> HostAddress? {
        guard let host = field.parsed(HostAddress.self, "an IPv4 or IPv6 address, or a DNS name") else { return nil }
        let isReachable =
            switch host {
            case .ip(.v4(let address)): isUnicast(address)
            case .ip(.v6(let address)): address.isHosts
            case .name(let name): name != "localhost" && !name.hasSuffix(".localhost")
            }
        guard isReachable else {
            field.fail("\(host) is loopback, link-local, multicast or reserved, where an uplink can forward nothing; name a host")
            return nil
        }
        return host
    }

    var fieldValue: FieldValue {
        switch self {
        case .service(let reference, let port, let resolution):
            .fields([
                "service": .fields([
                    "name": .string(reference.name),
                    "namespace": reference.namespace.map { .string($0) },
                    "port": port.fieldValue,
                    "resolve": resolution == .clusterIP ? nil : .string(resolution.rawValue),
                ])
            ])
        case .address(let address, let port):
            .fields(["address": .text(address), "port": .port(port)])
        case .host(let host, let port): .fields(["address": .text(host), "port": .port(port)])
        }
    }
}

extension ServicePortReference {
    fileprivate var fieldValue: FieldValue {
        switch self {
        case .number(let port): .port(port)
        case .name(let name): .string(name)
        }
    }
}

extension TCPOptions {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        connectTimeout = fields["connectTimeout"].duration(.milliseconds(100) ... .seconds(600)) ?? connectTimeout
        idleTimeout =
            fields["idleTimeout"].duration(
                .milliseconds(100) ... .seconds(365 * 86400), zeroMeaning: "to never end a silent connection") ?? idleTimeout
        let enabled = fields["proxyProtocol"].bool()
        let versionField = fields["proxyProtocolVersion"]
        let version = versionField.choice(ProxyProtocolVersion.allCases.map { (name: $0.rawValue, value: $0) })
        if enabled == false, versionField.isPresent {
            versionField.fail("has no meaning while proxyProtocol is false; set proxyProtocol: true or remove this field")
        }
        // A version alone asks for the header too; V1 is what a plain `proxyProtocol: true` always meant.
        proxyProtocol = version ?? (enabled == true ? .v1 : nil)
        fields.finish()
    }

    var fieldValue: FieldValue {
        .fields([
            "connectTimeout": .text(connectTimeout),
            "idleTimeout": .text(idleTimeout),
            "proxyProtocol": .bool(proxyProtocol != nil),
            "proxyProtocolVersion": proxyProtocol.map { .string($0.rawValue) },
        ])
    }
}

extension TLSOptions {
    /// Nil for an absent block, and for a wrong one.
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let mode = fields["mode"].required("one of \(Mode.names.joined(separator: ", "))")
            .choice(Mode.names.map { (name: $0, value: $0) })
        let secretField = fields["secretRef"]
        let secret = NamespacedReference(secret: secretField)
        let hostnames = Self.hostnames(fields["hostnames"])
        fields.finish()
        guard let mode else { return nil }
        if mode == Mode.passthrough.name {
            if secretField.isPresent {
                secretField.fail("has no use with mode passthrough, where the backend holds the certificate; remove it")
            }
            self.init(mode: .passthrough, hostnames: hostnames)
            return
        }
        let contents = mode == "mutual" ? "tls.crt, tls.key and ca.crt" : "tls.crt and tls.key"
        _ = secretField.required("the Secret with \(contents), for mode \(mode)")
        guard let secret else { return nil }
        self.init(mode: mode == "mutual" ? .mutual(secret) : .offload(secret), hostnames: hostnames)
    }

    private static func hostnames(_ field: Field) -> [String] {
        var names: [String] = []
        for item in field.sequence("a list of DNS names") ?? [] {
            let expected = "a DNS name such as web.example.com or *.example.com"
            // Asked of the text as given: lowercasing turns some letters of other scripts (the Kelvin sign) into ASCII.
            let isName = { (text: String) in text.utf8.allSatisfy { $0 < 0x80 } && isServerName(text.lowercased()) }
            guard let name = item.string(expected, where: isName)?.lowercased() else { continue }
            if names.contains(name) {
                item.fail("\"\(name)\" is listed already; remove one")
            } else {
                names.append(name)
            }
        }
        return names
    }

    var fieldValue: FieldValue {
        .fields([
            "mode": .string(mode.name),
            "secretRef": mode.secretRef?.fieldValue,
            "hostnames": hostnames.isEmpty ? nil : .array(hostnames.map { .string($0) }),
        ])
    }
}

extension GoDuration {
    static func milliseconds(_ count: Int64) -> GoDuration { GoDuration(nanoseconds: count * 1_000_000) }
}
