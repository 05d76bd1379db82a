/// An IPv4 network with no host bits set, such as 10.200.0.0/24.
public struct CIDR: StringValue, Comparable {
    public let address: IPv4Address
    /// 0 to 32.
    public let prefixLength: Int

    /// - Throws: `InvalidValue` when host bits are set; the reason names the network that was probably meant.
    public init(address: IPv4Address, prefixLength: Int) throws(InvalidValue) {
        guard (0...32).contains(prefixLength) else {
            throw InvalidValue(
                expected: "network", given: "\(address)/\(prefixLength)", reason: "the prefix length must be between 0 and 32")
        }
        let masked = IPv4Address(number: address.number & Self.mask(prefixLength))
        guard masked == address else {
            throw InvalidValue(
                expected: "network", given: "\(address)/\(prefixLength)",
                reason: "host bits are set; did you mean \(masked)/\(prefixLength)?")
        }
        self.address = address
        self.prefixLength = prefixLength
    }

    public init(parsing text: String) throws(InvalidValue) {
        let parts = text.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let address = IPv4Address(String(parts[0])),
            (1...2).contains(parts[1].utf8.count), parts[1].utf8.allSatisfy({ $0 >= 0x30 && $0 <= 0x39 }),
            let length = Int(parts[1]), String(length) == parts[1]
        else {
            throw InvalidValue(expected: "network", given: text, reason: "want an IPv4 network such as 10.200.0.0/24")
        }
        try self.init(address: address, prefixLength: length)
    }

    /// One address alone, a /32.
    public init(_ address: IPv4Address) {
        self.address = address
        prefixLength = 32
    }

    /// The network that `address` lies in; a prefix length outside 0 to 32 is taken as the nearer end.
    public init(masking address: IPv4Address, prefixLength: Int) {
        self.prefixLength = min(max(prefixLength, 0), 32)
        self.address = IPv4Address(number: address.number & Self.mask(self.prefixLength))
    }

    /// The address `offset` places after the network's own.
    /// - Returns: nil outside the network, and for its broadcast address.
    public func host(_ offset: Int) -> IPv4Address? {
        let size = 1 << (32 - prefixLength)
        guard offset >= 0, offset < size, prefixLength >= 31 || offset < size - 1 else { return nil }
        return IPv4Address(number: address.number + UInt32(offset))
    }

    public func contains(_ other: IPv4Address) -> Bool { other.number & Self.mask(prefixLength) == address.number }

    public func overlaps(_ other: CIDR) -> Bool { contains(other.address) || other.contains(address) }

    private static func mask(_ length: Int) -> UInt32 { length == 0 ? 0 : ~0 << UInt32(32 - length) }

    public static func < (a: Self, b: Self) -> Bool { (a.address, a.prefixLength) < (b.address, b.prefixLength) }
    public var description: String { "\(address)/\(prefixLength)" }
}
