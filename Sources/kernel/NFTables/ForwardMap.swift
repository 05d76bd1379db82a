import CLinuxHeaders
import NetlinkMessages
public import NetworkTypes

/// What arrives through the tunnel: a transport and the port it came to.
public struct ForwardKey: Hashable, Comparable, Sendable, CustomStringConvertible {
    public let `protocol`: TransportProtocol
    public let port: Port

    public init(_ transport: TransportProtocol, _ port: Port) {
        self.protocol = transport
        self.port = port
    }

    public static func < (a: Self, b: Self) -> Bool { (a.protocol, a.port) < (b.protocol, b.port) }
    public var description: String { "\(self.protocol)/\(port)" }
}

/// Where it goes on to.
public struct ForwardTarget: Hashable, Sendable, CustomStringConvertible {
    public let address: IPv4Address
    public let port: Port

    public init(_ address: IPv4Address, _ port: Port) {
        self.address = address
        self.port = port
    }

    public var description: String { "\(address):\(port)" }
}

public typealias Forwards = [ForwardKey: ForwardTarget]

/// Several targets each, over which new connections are spread.
public typealias Spreads = [ForwardKey: [ForwardTarget]]

/// The map `forwards` of type `inet_proto . inet_service : ipv4_addr . inet_service` as nf_tables stores it: each part of a
/// concatenation begins on four bytes.
enum ForwardMap {
    static let name = "forwards"
    /// Bytes, of a key and of a value.
    static let length: UInt32 = 8
    /// nft's own type numbers, six bits a part (`enum datatypes` of its datatype.h): only `nft list` reads them.
    static let keyType: UInt32 = 12 << 6 | 13
    static let valueType: UInt32 = 7 << 6 | 13

    /// Elements in one message. At 40 bytes each at most, this keeps the list well under the 65,535 bytes of an attribute.
    static let elementsPerMessage = 1500

    static func number(of transport: TransportProtocol) -> UInt8 {
        switch transport {
        case .tcp: UInt8(IPPROTO_TCP)
        case .udp: UInt8(IPPROTO_UDP)
        }
    }

    static func bytes(_ key: ForwardKey) -> [UInt8] { [number(of: key.protocol), 0, 0, 0] + bytes(key.port) + [0, 0] }
    static func bytes(_ target: ForwardTarget) -> [UInt8] { target.address.bytes + bytes(target.port) + [0, 0] }
    static func bytes(_ port: Port) -> [UInt8] { bytes(port.number) }
    static func bytes(_ number: UInt16) -> [UInt8] { [UInt8(number >> 8), UInt8(truncatingIfNeeded: number)] }

    static func transport(_ number: UInt8) -> TransportProtocol? {
        TransportProtocol.allCases.first { self.number(of: $0) == number }
    }

    static func port(_ bytes: some Collection<UInt8>) -> Port? {
        do throws(InvalidValue) { return try Port(bytes.prefix(2).reduce(0) { $0 << 8 | Int($1) }) } catch { return nil }
    }

    /// - Returns: nil for what is no element of ours: somebody else put it there.
    static func element(_ attribute: ParsedAttribute) throws(MalformedNetlink) -> (ForwardKey, ForwardTarget)? {
        let parts = try attribute.nested()
        guard let key = try value(parts[NetlinkAttributeType(NFTA_SET_ELEM_KEY)]),
            let forward = forward(key), let target = try target(parts)
        else { return nil }
        return (forward, target)
    }

    /// From the first two parts of a key.
    static func forward(_ key: ArraySlice<UInt8>) -> ForwardKey? {
        guard let transport = key.first.flatMap(transport), let port = port(key.dropFirst(4)) else { return nil }
        return ForwardKey(transport, port)
    }

    static func target(_ element: ParsedAttributes) throws(MalformedNetlink) -> ForwardTarget? {
        guard let value = try value(element[NetlinkAttributeType(NFTA_SET_ELEM_DATA)]),
            let address = IPv4Address(bytes: value.prefix(4)), let port = port(value.dropFirst(4))
        else { return nil }
        return ForwardTarget(address, port)
    }

    static func value(_ attribute: ParsedAttribute?, length: UInt32 = length) throws(MalformedNetlink) -> ArraySlice<UInt8>? {
        let value = try attribute?.nested()[NetlinkAttributeType(NFTA_DATA_VALUE)]?.payload
        return value?.count == Int(length) ? value : nil
    }
}
