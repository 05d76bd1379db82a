/// Where a server listens, as Go's programs take it: `:8081`, `127.0.0.1:8081`, `[::1]:8081`, `localhost:8081`.
public struct ListenAddress: Hashable, Sendable, CustomStringConvertible {
    /// Empty for all addresses of the host, of IPv4 and IPv6.
    public let host: String
    /// 0 lets the system choose.
    public let port: UInt16

    public init(host: String, port: UInt16) {
        self.host = host
        self.port = port
    }

    /// - Parameter flag: named in the error.
    /// - Returns: nil for `0` and for nothing, which turn the server off.
    public static func parse(_ value: String, flag: String) throws(ServingError) -> ListenAddress? {
        if value.isEmpty || value == "0" { return nil }
        func refuse(_ reason: String) -> ServingError { .badAddress(flag: flag, value: value, reason: reason) }
        guard let colon = value.lastIndex(of: ":") else { throw refuse("it has no port") }
        guard let port = parsePort(value[value.index(after: colon)...]) else {
            throw refuse("the port is not a number from 0 to 65535")
        }
        var host = value[..<colon]
        if host.hasPrefix("[") {
            guard host.hasSuffix("]") else { throw refuse("the port is missing, or the closing bracket") }
            host = host.dropFirst().dropLast()
            guard host.contains(":"), host.utf8.allSatisfy({ isNameByte($0) || [58, 37].contains($0) }) else {
                throw refuse("no IPv6 address is between the brackets")
            }
        } else {
            guard !host.contains(":") else { throw refuse("an IPv6 address belongs in brackets") }
            guard host.utf8.allSatisfy(isNameByte) else { throw refuse("the host is no address or name") }
        }
        return ListenAddress(host: String(host), port: port)
    }

    public var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

    /// What to try one after the other: a host without IPv6 has no `::`.
    var candidates: [String] { host.isEmpty ? ["::", "0.0.0.0"] : [host] }

    /// Digits alone: `UInt16` would take a sign.
    private static func parsePort(_ text: Substring) -> UInt16? {
        text.utf8.allSatisfy { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) } ? UInt16(text) : nil
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"): true
        case UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "."), UInt8(ascii: "-"), UInt8(ascii: "_"): true
        default: false
        }
    }
}
