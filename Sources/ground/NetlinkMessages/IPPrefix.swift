import CLinuxHeaders
public import NetworkTypes

/// An address of either family with a prefix length. Host bits may be set: an interface's address has them.
public struct IPPrefix: StringValue {
    public let address: IPAddress
    /// 0 to 32 for IPv4, 0 to 128 for IPv6.
    public let length: Int

    /// - Throws: `InvalidValue` for a length the family does not have.
    public init(_ address: IPAddress, length: Int) throws(InvalidValue) {
        guard (0...address.bytes.count * 8).contains(length) else {
            throw InvalidValue(
                expected: "address with prefix length", given: "\(address)/\(length)",
                reason: "the prefix length must be between 0 and \(address.bytes.count * 8)")
        }
        self.address = address
        self.length = length
    }

    public init(parsing text: String) throws(InvalidValue) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPAddress(String(parts[0])), (1...3).contains(parts[1].utf8.count),
            parts[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }), let length = Int(parts[1])
        else {
            throw InvalidValue(
                expected: "address with prefix length", given: text, reason: "want an address such as 10.200.0.1/24")
        }
        try self.init(address, length: length)
    }

    public init(_ network: CIDR) {
        address = .v4(network.address)
        length = network.prefixLength
    }

    /// One host alone: /32 or /128.
    public init(host address: IPAddress) {
        self.address = address
        length = address.bytes.count * 8
    }

    public var description: String { "\(address)/\(length)" }
}

extension IPAddress {
    /// Network byte order: four or sixteen.
    public var bytes: [UInt8] {
        switch self {
        case .v4(let address): address.bytes
        case .v6(let address): address.bytes
        }
    }

    /// - Returns: nil unless `bytes` are four or sixteen.
    public init?(bytes: some Collection<UInt8>) {
        if let address = IPv4Address(bytes: bytes) {
            self = .v4(address)
        } else if let address = IPv6Address(bytes: bytes) {
            self = .v6(address)
        } else {
            return nil
        }
    }

    /// `AF_INET` or `AF_INET6`.
    public var family: UInt8 {
        switch self {
        case .v4: UInt8(AF_INET)
        case .v6: UInt8(AF_INET6)
        }
    }
}
