import Documents
import JSON
import NetworkTypes

extension TunnelSpec {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        listenPort = fields["listenPort"].port() ?? listenPort
        let networkField = fields["network"]
        if let given = networkField.parsed(CIDR.self, "an IPv4 network such as 10.200.0.0/24") {
            network = given
            if !(8...30).contains(given.prefixLength) {
                networkField.fail("expected a network from /8 to /30, given /\(given.prefixLength)")
            } else if !isUnicast(given.address) {
                networkField.fail("\(given) is loopback, multicast or reserved; take a private one such as 10.200.0.0/24")
            }
        }
        // 576: the least that every IPv4 host takes (RFC 791, section 3.1).
        mtu = fields["mtu"].integer(576...65535, unit: "bytes") ?? mtu
        persistentKeepalive = fields["persistentKeepalive"].integer(0...65535, unit: "seconds") ?? persistentKeepalive
        carriers = Self.carriers(fields["carriers"]) ?? carriers
        link = LinkSpec(fields["link"])
        fields.finish()
    }

    private static func carriers(_ field: Field) -> [TunnelCarrier]? {
        guard let items = field.sequence("a list of \(TunnelCarrier.allCases.map(\.rawValue).joined(separator: ", "))") else {
            return nil
        }
        if items.isEmpty {
            field.fail("is empty; name one of \(TunnelCarrier.allCases.map(\.rawValue).joined(separator: ", ")) at least")
            return nil
        }
        var carriers: [TunnelCarrier] = []
        for item in items {
            guard let carrier = item.choice(TunnelCarrier.allCases.map { (name: $0.rawValue, value: $0) }) else { continue }
            if carriers.contains(carrier) { item.fail("\(carrier.rawValue) is named twice; the order is that of preference") }
            carriers.append(carrier)
        }
        return carriers
    }

    var fieldValue: FieldValue {
        .fields([
            "listenPort": .port(listenPort),
            "network": .text(network),
            "mtu": .integer(mtu),
            "persistentKeepalive": .integer(persistentKeepalive),
            "carriers": .array(carriers.map { .string($0.rawValue) }),
            "link": .fields([
                "listenPort": .port(link.listenPort),
                "hostname": link.hostname.map { .string($0) },
                "path": link.path.map { .string($0) },
                "url": link.url.map { .string($0) },
                "connections": .integer(link.connections),
                "secretRef": link.secretRef?.fieldValue,
                "clientCASecretRef": link.clientCASecretRef?.fieldValue,
            ]),
        ])
    }
}

extension LinkSpec {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        listenPort = fields["listenPort"].port() ?? listenPort
        hostname = fields["hostname"].string("a lower-case DNS name such as link.example.com") {
            isServerName($0) && !$0.hasPrefix("*")
        }
        path = fields["path"].string(
            "a path of letters, digits, -, _, . and / that begins with /, such as /link", where: isLinkPath)
        url = fields["url"].string("a URL such as wss://www.example.com/link", where: isLinkURL)
        connections = fields["connections"].integer(1...8, unit: "links") ?? connections
        secretRef = NamespacedReference(secret: fields["secretRef"])
        clientCASecretRef = NamespacedReference(secret: fields["clientCASecretRef"])
        if secretRef != nil, hostname == nil {
            fields["hostname"].fail("is missing: with secretRef, want the name that its certificate is for")
        }
        if clientCASecretRef != nil, secretRef == nil {
            fields["secretRef"].fail("is missing: with clientCASecretRef, want the certificate that the port shows")
        }
        fields.finish()
    }
}

/// Whether `text` is a path that no web server on the way reads in another way: no escapes, no dots alone.
func isLinkPath(_ text: String) -> Bool {
    guard text.hasPrefix("/"), (2...200).contains(text.utf8.count) else { return false }
    let isPlain = text.utf8.allSatisfy {
        (0x61...0x7A).contains($0) || (0x41...0x5A).contains($0) || (0x2D...0x39).contains($0) || $0 == 0x5F
    }
    return isPlain
        && !text.split(separator: "/", omittingEmptySubsequences: false).dropFirst().contains { ["", ".", ".."].contains($0) }
}

/// Whether `text` is `ws://` or `wss://`, a host, a port where it is not the scheme's, and a path.
func isLinkURL(_ text: String) -> Bool {
    guard text.utf8.count <= 500, let scheme = ["ws://", "wss://"].first(where: text.hasPrefix) else { return false }
    let rest = text.dropFirst(scheme.count)
    guard let slash = rest.firstIndex(of: "/"), isLinkPath(String(rest[slash...])) else { return false }
    var host = rest[..<slash]
    if let colon = host.lastIndex(of: ":"), !host.hasSuffix("]") {
        guard let port = Int(host[host.index(after: colon)...]), (1...65535).contains(port) else { return false }
        host = host[..<colon]
    }
    if host.hasPrefix("["), host.hasSuffix("]") { return IPv6Address(String(host.dropFirst().dropLast())) != nil }
    return HostAddress(String(host)) != nil && !host.contains(":")
}
