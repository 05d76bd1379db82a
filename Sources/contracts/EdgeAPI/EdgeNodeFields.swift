public import Documents
public import JSON
import NetworkTypes

extension EdgeNode {
    /// The StatefulSet `NAME-uplink` puts its name, `-` and a hash of 10 into a label of at most 63 bytes.
    static let longestName = 63 - 11 - "-uplink".utf8.count

    /// Reads an EdgeNode, filling defaults in; `problems` names all that is wrong with it.
    public static func decode(_ node: FieldNode, unknownFields: UnknownFields = .refused) -> Decoded<EdgeNode> {
        let log = ProblemLog(unknownFields: unknownFields)
        return log.decoded(EdgeNode(Field(document: node, log: log)))
    }

    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        fields.pass("apiVersion", "kind")
        let metadata = ObjectMeta(
            fields["metadata"], kind: Self.kind, expected: "a DNS label of at most \(Self.longestName) characters",
            where: { isDNSLabel($0) && $0.utf8.count <= Self.longestName })
        let spec = EdgeNodeSpec(fields["spec"].required("the VPS and how to reach it"))
        let status = EdgeNodeStatus(fields["status"])
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
            "spec": spec.fieldValue,
            "status": status?.fieldValue,
        ])
    }
}

extension EdgeNodeSpec {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let addressField = fields["address"].required("the VPS's IP address or DNS name")
        let address: HostAddress?
        if let advice = addressField.string("an IP address or DNS name").flatMap(misplacedInAddress) {
            addressField.mismatch("an IP address or DNS name alone (\(advice))")
            address = nil
        } else {
            address = addressField.parsed(HostAddress.self, "an IP address or DNS name")
        }
        let ssh = SSHSpec(fields["ssh"].required("how to log in, at least ssh.secretRef"))
        let edge = EdgeSpec(fields["edge"])
        let tunnel = TunnelSpec(fields["tunnel"])
        let uplink = UplinkSpec(fields["uplink"])
        let host = HostSpec(fields["host"])
        fields.finish()
        guard let address, let ssh else { return nil }
        self.init(address: address, ssh: ssh, edge: edge, tunnel: tunnel, uplink: uplink, host: host)
    }

    var fieldValue: FieldValue {
        .fields([
            "address": .text(address),
            "ssh": .fields([
                "port": .port(ssh.port),
                "user": .string(ssh.user),
                "connectTimeout": .text(ssh.connectTimeout),
                "secretRef": ssh.secretRef.fieldValue,
                "insecureSkipHostKeyVerification": .bool(ssh.insecureSkipHostKeyVerification),
            ]),
            "edge": .fields([
                "healthCheck": .fields([
                    "interval": .text(edge.healthCheck.interval),
                    "timeout": .text(edge.healthCheck.timeout),
                    "healthyThreshold": .integer(edge.healthCheck.healthyThreshold),
                    "unhealthyThreshold": .integer(edge.healthCheck.unhealthyThreshold),
                ]),
                "maxConnections": .integer(edge.maxConnections),
                "drainTimeout": .text(edge.drainTimeout),
                "bridge": .string(edge.bridge.rawValue),
            ]),
            "tunnel": tunnel.fieldValue,
            "uplink": uplink.fieldValue,
            "host": .fields([
                "kernelMaxSocketBufferBytes": .integer(host.kernelMaxSocketBufferBytes),
                "disableNicOffloads": .bool(host.disableNicOffloads),
            ]),
        ])
    }
}

/// What `text` holds besides an address, and the field it belongs to; nil for nothing that is known.
private func misplacedInAddress(_ text: String) -> String? {
    var rest = text[...]
    var advice: [String] = []
    if let scheme = rest.firstRange(of: "://") {
        advice.append("leave \(printable(String(rest[..<scheme.upperBound]), limit: 20)) out")
        rest = rest[scheme.upperBound...]
    }
    if let sign = rest.lastIndex(of: "@") {
        advice.append("the user goes into spec.ssh.user")
        rest = rest[rest.index(after: sign)...]
    }
    if let slash = rest.firstIndex(of: "/") {
        if advice.isEmpty { return nil }
        rest = rest[..<slash]
    }
    let isBracketed = rest.hasPrefix("[") && rest.contains("]")
    if isBracketed, IPv6Address(String(rest.dropFirst().prefix { $0 != "]" })) != nil {
        advice.append("an IPv6 address has no brackets here")
    }
    // An IPv6 address has more colons than one.
    let colons = rest.count { $0 == ":" }
    if let colon = rest.lastIndex(of: ":"), colons == 1 || isBracketed && rest[..<colon].hasSuffix("]"),
        (1...65535).contains(Int(rest[rest.index(after: colon)...]) ?? 0)
    {
        advice.append("the port goes into spec.ssh.port")
    }
    return advice.isEmpty ? nil : advice.joined(separator: "; ")
}

extension SSHSpec {
    init?(_ field: Field) {
        guard let fields = field.mapping() else { return nil }
        let port = fields["port"].port()
        let user = fields["user"].string(userNameRule, where: isUserName)
        let connectTimeout = fields["connectTimeout"].duration(.milliseconds(100) ... .seconds(600))
        let secretRef = NamespacedReference(
            secret: fields["secretRef"].required("the Secret with privateKey or password, and knownHosts"))
        let skips = fields["insecureSkipHostKeyVerification"].bool()
        fields.finish()
        guard let secretRef else { return nil }
        let defaults = SSHSpec(secretRef: secretRef)
        self.init(
            port: port ?? defaults.port, user: user ?? defaults.user, connectTimeout: connectTimeout ?? defaults.connectTimeout,
            secretRef: secretRef, insecureSkipHostKeyVerification: skips ?? defaults.insecureSkipHostKeyVerification)
    }
}

extension EdgeSpec {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        if let check = fields["healthCheck"].mapping() {
            healthCheck.interval = check["interval"].duration(.milliseconds(100) ... .seconds(3600)) ?? healthCheck.interval
            healthCheck.timeout = check["timeout"].duration(.milliseconds(50) ... .seconds(600)) ?? healthCheck.timeout
            healthCheck.healthyThreshold = check["healthyThreshold"].integer(1...100) ?? healthCheck.healthyThreshold
            healthCheck.unhealthyThreshold = check["unhealthyThreshold"].integer(1...100) ?? healthCheck.unhealthyThreshold
            check.finish()
        }
        maxConnections = fields["maxConnections"].integer(1...1_000_000) ?? maxConnections
        drainTimeout = fields["drainTimeout"].duration(.seconds(1) ... .seconds(86400)) ?? drainTimeout
        bridge = fields["bridge"].choice(BridgeAccess.allCases.map { (name: $0.rawValue, value: $0) }) ?? bridge
        fields.finish()
    }
}

extension HostSpec {
    init(_ field: Field) {
        self.init()
        guard let fields = field.mapping() else { return }
        let buffer = fields["kernelMaxSocketBufferBytes"]
        // The kernel keeps the value in an int and refuses less than its own least send buffer (SOCK_MIN_SNDBUF, 4,608 on 64 bit).
        if let bytes = buffer.integer(0...Int64(Int32.max), unit: "bytes") {
            if (1..<4608).contains(bytes) {
                buffer.fail("expected at least 4608 bytes, or 0 to leave the kernel's value alone, given \(bytes)")
            }
            kernelMaxSocketBufferBytes = bytes
        }
        disableNicOffloads = fields["disableNicOffloads"].bool() ?? disableNicOffloads
        fields.finish()
    }
}

/// Whether a host can have the address: not 0/8, loopback, multicast, reserved or broadcast (RFC 6890).
func isUnicast(_ address: IPv4Address) -> Bool {
    let first = address.number >> 24
    return first != 0 && first != 127 && first < 224
}
