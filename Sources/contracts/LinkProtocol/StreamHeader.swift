/// The first bytes of a stream that the edge opens: what it leads to. One byte of length, then kind and tunnel port; what a later
/// version adds stands behind and is passed over.
public struct StreamHeader: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// The bytes of a TCP connection follow.
        case tcp = 1
        /// The datagrams of one UDP session follow, each as `DatagramReader` says.
        case udp = 2
    }

    public var kind: Kind
    /// 1…65535.
    public var tunnelPort: UInt16

    public init(_ kind: Kind, tunnelPort: UInt16) {
        self.kind = kind
        self.tunnelPort = tunnelPort
    }

    public var bytes: [UInt8] { [3, kind.rawValue, UInt8(tunnelPort >> 8), UInt8(tunnelPort & 0xFF)] }
}

/// Reads a stream's header, which comes in pieces of any length.
public struct StreamHeaderReader: Sendable {
    /// Bytes of a header's content at most, later versions' too.
    static let longest = 64

    private var bytes: [UInt8] = []

    public init() {}

    /// Reads on in `input` from `offset`, which moves to what follows the header; nil while it is not whole.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> StreamHeader? {
        while offset < input.byteCount {
            bytes.append(input.byte(offset))
            offset += 1
            let length = Int(bytes[0])
            guard (3...Self.longest).contains(length) else { throw .streamHeader("a length of \(length)") }
            guard bytes.count == 1 + length else { continue }
            guard let kind = StreamHeader.Kind(rawValue: bytes[1]) else { throw .streamHeader("unknown kind \(bytes[1])") }
            let port = UInt16(bytes[2]) << 8 | UInt16(bytes[3])
            guard port > 0 else { throw .streamHeader("port 0") }
            return StreamHeader(kind, tunnelPort: port)
        }
        return nil
    }
}
