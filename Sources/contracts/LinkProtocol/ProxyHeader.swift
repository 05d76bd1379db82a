/// Reads what Envoy writes before the bytes of a connection that it hands on: a PROXY header of version 2, with the client's address
/// (haproxy, doc/proxy-protocol.txt, section 2.2).
public struct ProxyHeaderReader: Sendable {
    /// Bytes of a header at most, with what may stand behind the addresses.
    public static let longest = 1024
    /// `\r\n\r\n\0\r\nQUIT\n`, then version 2 and the command PROXY.
    private static let start: [UInt8] = [0x0D, 0x0A, 0x0D, 0x0A, 0, 0x0D, 0x0A, 0x51, 0x55, 0x49, 0x54, 0x0A, 0x21]
    /// With family and length.
    private static let fixedPart = 16

    private var bytes: [UInt8] = []

    public init() {}

    public enum Header: Equatable, Sendable {
        case source(ProxySource)
        /// It is no such header, or one without a client that came by TCP.
        case malformed
    }

    /// Reads on in `input` from `offset`, which moves to what follows the header; nil while it is not whole.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) -> Header? {
        while offset < input.byteCount {
            let byte = input.byte(offset)
            offset += 1
            bytes.append(byte)
            // Whoever begins with something else is told apart at once.
            if bytes.count <= Self.start.count, Self.start[bytes.count - 1] != byte { return .malformed }
            guard bytes.count >= Self.fixedPart else { continue }
            guard let addresses, length <= Self.longest - Self.fixedPart, length >= addresses else { return .malformed }
            if bytes.count == Self.fixedPart + length { return header(addresses) }
        }
        return nil
    }

    /// Of what follows the fixed part.
    private var length: Int { Int(bytes[14]) << 8 | Int(bytes[15]) }

    /// Bytes of both addresses and ports: TCP over IPv4 or IPv6; nil for anything else.
    private var addresses: Int? {
        switch bytes[13] {
        case 0x11: 12
        case 0x21: 36
        default: nil
        }
    }

    private func header(_ addresses: Int) -> Header {
        // Type, length and value, up to the end.
        var place = Self.fixedPart + addresses
        while place < bytes.count {
            guard place + 3 <= bytes.count else { return .malformed }
            place += 3 + (Int(bytes[place + 1]) << 8 | Int(bytes[place + 2]))
        }
        guard place == bytes.count else { return .malformed }
        let size = (addresses - 4) / 2
        let port = Self.fixedPart + 2 * size
        return .source(
            ProxySource(
                address: Array(bytes[Self.fixedPart..<Self.fixedPart + size]),
                port: UInt16(bytes[port]) << 8 | UInt16(bytes[port + 1])))
    }
}

/// Who connected to Envoy.
public struct ProxySource: Equatable, Sendable {
    /// 4 or 16 bytes.
    public let address: [UInt8]
    public let port: UInt16

    public init(address: [UInt8], port: UInt16) {
        self.address = address
        self.port = port
    }
}
