/// The header of a frame that is a message of its own (RFC 6455, section 5.2).
public struct WebSocketFrameHeader: Sendable {
    public enum Kind: UInt8, Sendable {
        case binary = 0x2
        case close = 0x8
        case ping = 0x9
        case pong = 0xA
    }

    public let kind: Kind
    /// Bytes of the payload.
    public let length: Int
    /// Nil for a server, which masks nothing.
    public let mask: WebSocketMask?

    public init(_ kind: Kind, length: Int, mask: WebSocketMask?) {
        (self.kind, self.length, self.mask) = (kind, length, mask)
    }

    public var bytes: [UInt8] {
        let isMasked: UInt8 = mask == nil ? 0 : 0x80
        var bytes = [0x80 | kind.rawValue]
        switch length {
        case ..<126: bytes.append(isMasked | UInt8(length))
        case ..<(1 << 16): bytes += [isMasked | 126] + bigEndian(length, 2)
        default: bytes += [isMasked | 127] + bigEndian(length, 8)
        }
        return bytes + (mask?.bytes ?? [])
    }

    private func bigEndian(_ number: Int, _ count: Int) -> [UInt8] {
        (1...count).map { UInt8(truncatingIfNeeded: UInt64(number) >> UInt64((count - $0) * 8)) }
    }
}
