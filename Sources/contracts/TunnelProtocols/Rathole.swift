public import NetworkTypes
import Sodium

/// The words of rathole's protocol, as its server says and hears them (rathole-org/rathole, 0.5: src/protocol.rs). Numbers are little-endian, as
/// bincode writes them.
public enum Rathole {
    public static let version: UInt8 = 1
    public static let helloSize = 37
    public static let authenticationSize = 32

    /// What a connection begins with.
    public enum Hello: Equatable, Sendable {
        /// By the SHA-256 of the service's name.
        case control(service: [UInt8])
        /// By the session's key.
        case data(session: [UInt8])

        /// Nil for bytes that are none, and for another version.
        public init?(_ bytes: [UInt8]) {
            guard bytes.count == helloSize, bytes[1...3].allSatisfy({ $0 == 0 }), bytes[4] == version else { return nil }
            let name = Array(bytes[5...])
            switch bytes[0] {
            case 0: self = .control(service: name)
            case 1: self = .data(session: name)
            default: return nil
            }
        }
    }

    /// The first byte of a connection of either kind.
    public static func begins(with byte: UInt8) -> Bool { byte <= 1 }

    public static func digest(ofService name: String) -> [UInt8] { SHA256.digest(of: name).bytes }

    /// The server's answer to a `Hello.control`.
    public static func challenge(nonce: [UInt8]) -> [UInt8] { [0, 0, 0, 0, version] + nonce }

    /// What proves the token; afterwards the session's key.
    public static func proof(token: [UInt8], nonce: [UInt8]) -> [UInt8] {
        var hash = SHA256()
        hash.update(token)
        hash.update(nonce)
        return hash.finish().bytes
    }

    public static let accepted: [UInt8] = [0, 0, 0, 0]
    /// A service that is not there is refused so too: who has no token is not to learn which are.
    public static let refused: [UInt8] = [2, 0, 0, 0]
    public static let createDataChannel: [UInt8] = [0, 0, 0, 0]
    public static let heartbeat: [UInt8] = [1, 0, 0, 0]
    public static let startTCP: [UInt8] = [0, 0, 0, 0]
    public static let startUDP: [UInt8] = [1, 0, 0, 0]

    /// A datagram and the visitor that it is from, or for.
    public struct Datagram: Equatable, Sendable {
        public var visitor: IPAddress
        public var port: UInt16
        public var payload: [UInt8]

        public init(visitor: IPAddress, port: UInt16, payload: [UInt8]) {
            self.visitor = visitor
            self.port = port
            self.payload = payload
        }

        /// As it stands on the data channel; nil for a payload that is too long.
        public var frame: [UInt8]? {
            guard payload.count <= Int(UInt16.max) else { return nil }
            let address: [UInt8] =
                switch visitor {
                case .v4(let address): [0, 0, 0, 0] + address.bytes
                case .v6(let address): [1, 0, 0, 0] + address.bytes
                }
            func little(_ number: UInt16) -> [UInt8] { [UInt8(number & 0xFF), UInt8(number >> 8)] }
            let header = address + little(port) + little(UInt16(payload.count))
            return [UInt8(header.count)] + header + payload
        }
    }

    public enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
        case datagramHeader

        public var description: String { "the rathole client sends datagrams with a header that is none" }
    }

    /// Takes datagrams out of a data channel's bytes, wherever they are cut. Holds one at most.
    public struct DatagramReader: Sendable {
        private var gathered: [UInt8] = []

        public init() {}

        /// The next one; nil when more bytes are needed.
        public mutating func read(_ bytes: RawSpan, _ offset: inout Int) throws(Fault) -> Datagram? {
            guard gather(1, bytes, &offset) else { return nil }
            let headerSize = Int(gathered[0])
            guard headerSize == 12 || headerSize == 24 else { throw .datagramHeader }
            guard gather(1 + headerSize, bytes, &offset) else { return nil }
            let length = Int(gathered[headerSize - 1]) | Int(gathered[headerSize]) << 8
            let kind = gathered[1]
            guard gathered[2...4].allSatisfy({ $0 == 0 }), kind == (headerSize == 12 ? 0 : 1) else { throw .datagramHeader }
            guard gather(1 + headerSize + length, bytes, &offset) else { return nil }
            let address = gathered[5..<headerSize - 3]
            let visitor =
                kind == 0 ? IPv4Address(bytes: address).map(IPAddress.v4) : IPv6Address(bytes: address).map(IPAddress.v6)
            guard let visitor else { throw .datagramHeader }
            let port = UInt16(gathered[headerSize - 3]) | UInt16(gathered[headerSize - 2]) << 8
            defer { gathered.removeAll(keepingCapacity: true) }
            return Datagram(visitor: visitor, port: port, payload: Array(gathered[(1 + headerSize)...]))
        }

        private mutating func gather(_ count: Int, _ bytes: RawSpan, _ offset: inout Int) -> Bool {
            let more = min(count - gathered.count, bytes.byteCount - offset)
            if more > 0 {
                bytes.extracting(offset..<offset + more).withUnsafeBytes { gathered += $0 }
                offset += more
            }
            return gathered.count >= count
        }
    }
}
