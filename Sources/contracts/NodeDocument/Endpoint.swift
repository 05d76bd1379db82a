public import NetworkTypes

/// An address and a port of one target, `10.244.1.7:8080`.
public struct Endpoint: StringValue, Comparable {
    public var address: IPv4Address
    public var port: Port

    public init(address: IPv4Address, port: Port) {
        self.address = address
        self.port = port
    }

    public init(parsing text: String) throws(InvalidValue) {
        let parts = text.split(separator: ":", maxSplits: 1, omittingEmptySubsequences: false)
        guard parts.count == 2, let port = UInt16(parts[1]) else {
            throw InvalidValue(expected: "endpoint", given: text, reason: "want ADDRESS:PORT")
        }
        self.init(address: try IPv4Address(parsing: String(parts[0])), port: try Port(port))
    }

    public static func < (a: Self, b: Self) -> Bool { (a.address, a.port) < (b.address, b.port) }
    public var description: String { "\(address):\(port)" }
}
