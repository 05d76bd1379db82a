/// Where a host is reached: an IP address or a DNS name.
public enum HostAddress: StringValue {
    case ip(IPAddress)
    /// Lower case, without a final dot.
    case name(String)

    public init(parsing text: String) throws(InvalidValue) {
        if let address = IPAddress(text) {
            self = .ip(address)
            return
        }
        let name = text.lowercased()
        // Asked of the text as given: lowercasing turns some letters of other scripts (the Kelvin sign) into ASCII.
        guard text.utf8.allSatisfy({ $0 < 0x80 }), isDNSName(name) else {
            throw InvalidValue(
                expected: "host address", given: text,
                reason: "want an IPv4 or IPv6 address, or a DNS name of letters, digits, dots and inner hyphens")
        }
        guard let last = name.split(separator: ".").last, !last.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }) else {
            throw InvalidValue(expected: "host address", given: text, reason: "looks like an IPv4 address but is none")
        }
        self = .name(name)
    }

    public var description: String {
        switch self {
        case .ip(let address): address.description
        case .name(let name): name
        }
    }

    /// Nil for a name and for IPv6.
    public var ipv4: IPv4Address? { if case .ip(.v4(let address)) = self { address } else { nil } }

    /// As it stands before `:port`: IPv6 in brackets.
    public var bracketed: String {
        if case .ip(.v6(let address)) = self { "[\(address)]" } else { description }
    }
}

/// Whether `name` is a DNS name of RFC 1123 labels: 1 to 63 of `a-z 0-9 -` each, no hyphen at an end, 253 in all.
public func isDNSName(_ name: some StringProtocol) -> Bool {
    guard (1...253).contains(name.utf8.count) else { return false }
    return name.split(separator: ".", omittingEmptySubsequences: false).allSatisfy(isDNSLabel)
}

/// Whether `label` is one RFC 1123 label, the form of a Kubernetes namespace.
public func isDNSLabel(_ label: some StringProtocol) -> Bool {
    let bytes = Array(label.utf8)
    return (1...63).contains(bytes.count)
        && bytes.allSatisfy { ($0 >= 0x61 && $0 <= 0x7A) || ($0 >= 0x30 && $0 <= 0x39) || $0 == 0x2D }
        && bytes.first != 0x2D && bytes.last != 0x2D
}
