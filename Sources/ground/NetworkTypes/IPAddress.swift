import Glibc

/// An IPv4 address in host byte order.
public struct IPv4Address: StringValue, Comparable {
    /// `0x0A00_0001` is 10.0.0.1.
    public let number: UInt32

    public init(number: UInt32) { self.number = number }

    /// Four decimal numbers with dots; no leading zeros, which some readers take for octal.
    public init(parsing text: String) throws(InvalidValue) {
        var number: UInt32 = 0
        let parts = text.split(separator: ".", omittingEmptySubsequences: false)
        var isValid = parts.count == 4
        for part in parts where isValid {
            guard part.utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let byte = UInt8(part),
                part.utf8.count == 1 || part.utf8.first != 0x30
            else {
                isValid = false
                break
            }
            number = number << 8 | UInt32(byte)
        }
        guard isValid else {
            throw InvalidValue(expected: "IPv4 address", given: text, reason: "want four numbers from 0 to 255, such as 10.0.0.1")
        }
        self.number = number
    }

    /// Network byte order, as kernel interfaces want it.
    public var bytes: [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: number >> $0) } }

    /// - Returns: nil unless `bytes` are four.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 4 else { return nil }
        number = bytes.reduce(0) { $0 << 8 | UInt32($1) }
    }

    public static func < (a: Self, b: Self) -> Bool { a.number < b.number }
    public var description: String { bytes.map(String.init).joined(separator: ".") }
}

/// An IPv6 address; a zone (`%eth0`) is not part of it.
public struct IPv6Address: StringValue {
    /// Sixteen bytes in network order.
    public let bytes: [UInt8]

    public init(parsing text: String) throws(InvalidValue) {
        var address = in6_addr()
        guard !text.utf8.contains(0), inet_pton(AF_INET6, text, &address) == 1 else {
            throw InvalidValue(
                expected: "IPv6 address", given: text, reason: "want groups of hexadecimal digits, such as 2001:db8::1")
        }
        bytes = withUnsafeBytes(of: &address) { Array($0) }
    }

    /// - Returns: nil unless `bytes` are sixteen.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 16 else { return nil }
        self.bytes = Array(bytes)
    }

    /// The canonical form of RFC 5952.
    public var description: String {
        var buffer = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        let length = buffer.count
        return bytes.withUnsafeBytes { source in
            inet_ntop(AF_INET6, source.baseAddress, &buffer, socklen_t(length)).map { String(cString: $0) } ?? ""
        }
    }
}

/// An address of either family.
public enum IPAddress: StringValue {
    case v4(IPv4Address)
    case v6(IPv6Address)

    public init(parsing text: String) throws(InvalidValue) {
        if let address = IPv4Address(text) {
            self = .v4(address)
        } else if let address = IPv6Address(text) {
            self = .v6(address)
        } else {
            throw InvalidValue(
                expected: "IP address", given: text, reason: "want IPv4 such as 10.0.0.1 or IPv6 such as 2001:db8::1")
        }
    }

    public var description: String {
        switch self {
        case .v4(let address): address.description
        case .v6(let address): address.description
        }
    }
}

extension IPv6Address {
    /// Whether a host can have it: not unspecified, loopback, link-local or multicast (RFC 4291, section 2.4), nor in `::/96`.
    public var isHosts: Bool {
        let isLinkLocal = bytes[0] == 0xFE && bytes[1] & 0xC0 == 0x80
        return !isLinkLocal && bytes[0] != 0xFF && bytes.prefix(12).contains { $0 != 0 }
    }

    /// The IPv4 address that it leads to: mapped (RFC 4291, `::ffff:0:0/96`), by NAT64 (RFC 6052, `64:ff9b::/96`) or 6to4 (RFC 3056,
    /// `2002::/16`); nil for another.
    public var embedded: IPv4Address? {
        let mapped: [UInt8] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF]
        let nat64: [UInt8] = [0, 0x64, 0xFF, 0x9B, 0, 0, 0, 0, 0, 0, 0, 0]
        if bytes.starts(with: mapped) || bytes.starts(with: nat64) { return IPv4Address(bytes: bytes.suffix(4)) }
        return bytes.starts(with: [0x20, 0x02]) ? IPv4Address(bytes: bytes[2..<6]) : nil
    }
}
