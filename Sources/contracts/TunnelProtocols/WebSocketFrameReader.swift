/// Reads the frames of a WebSocket (RFC 6455, section 5.2) as their bytes come, and keeps none of them: a client of wstunnel makes frames of
/// up to 32 MiB. What is masked and what is not is taken alike, since such clients send unmasked frames.
public struct WebSocketFrameReader: Sendable {
    public enum Event: Equatable, Sendable {
        /// The next `count` bytes belong to a message; `mask` unmasks them, nil where there is nothing to do.
        case payload(count: Int, mask: Mask?)
        /// The frame that the payload belonged to is over.
        case end
        case ping([UInt8])
        case pong
        case close
    }

    public struct Mask: Equatable, Sendable {
        public let key: [UInt8]
        /// Of the first byte, in the key.
        public let phase: Int

        public func apply(to bytes: UnsafeMutableRawBufferPointer) {
            for index in bytes.indices { bytes[index] ^= key[(index + phase) & 3] }
        }
    }

    public enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
        case extensionBits, opcode(UInt8), controlFrame, length

        public var description: String {
            switch self {
            case .extensionBits: "the WebSocket's peer uses an extension"
            case .opcode(let code): "the WebSocket's peer sends frames of kind \(code)"
            case .controlFrame: "the WebSocket's peer sends a control frame that is none"
            case .length: "the WebSocket's peer sends too long a frame"
            }
        }
    }

    /// Bytes of a frame, as in wstunnel (64 MiB).
    static let longestFrame = 64 << 20

    private enum State: Sendable {
        case header
        case payload(left: Int, key: [UInt8]?, phase: Int)
        case control(opcode: UInt8, length: Int, key: [UInt8]?)
    }

    private var state = State.header
    private var gathered: [UInt8] = []

    public init() {}

    /// What comes next; nil when more bytes are needed. After `payload` the caller takes that many bytes itself, by `offset`.
    public mutating func read(_ bytes: RawSpan, _ offset: inout Int) throws(Fault) -> Event? {
        while true {
            switch state {
            case .header:
                guard try readHeader(bytes, &offset) else { return nil }
            case .payload(0, _, _):
                state = .header
                return .end
            case .payload(let left, let key, let phase):
                let count = min(left, bytes.byteCount - offset)
                guard count > 0 else { return nil }
                state = .payload(left: left - count, key: key, phase: (phase + count) & 3)
                return .payload(count: count, mask: key.map { Mask(key: $0, phase: phase) })
            case .control(let opcode, let length, let key):
                guard gather(length, bytes, &offset) else { return nil }
                var content = gathered
                gathered = []
                state = .header
                if let key { content.withUnsafeMutableBytes { Mask(key: key, phase: 0).apply(to: $0) } }
                switch opcode {
                case 0x8: return .close
                case 0x9: return .ping(content)
                default: return .pong
                }
            }
        }
    }

    private mutating func gather(_ count: Int, _ bytes: RawSpan, _ offset: inout Int) -> Bool {
        while gathered.count < count, offset < bytes.byteCount {
            gathered.append(bytes.unsafeLoad(fromByteOffset: offset, as: UInt8.self))
            offset += 1
        }
        return gathered.count >= count
    }

    /// - Returns: whether it is whole.
    private mutating func readHeader(_ bytes: RawSpan, _ offset: inout Int) throws(Fault) -> Bool {
        guard gather(2, bytes, &offset) else { return false }
        let (first, second) = (gathered[0], gathered[1])
        guard first & 0x70 == 0 else { throw .extensionBits }
        let (opcode, isMasked, short) = (first & 0x0F, second & 0x80 != 0, Int(second & 0x7F))
        guard [0, 1, 2, 8, 9, 10].contains(opcode) else { throw .opcode(opcode) }
        let isControl = opcode >= 8
        guard !isControl || (short <= 125 && first & 0x80 != 0) else { throw .controlFrame }
        let lengthBytes = short == 126 ? 2 : short == 127 ? 8 : 0
        guard gather(2 + lengthBytes + (isMasked ? 4 : 0), bytes, &offset) else { return false }
        var length = short
        if lengthBytes > 0 {
            let number = gathered[2..<2 + lengthBytes].reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard number <= Self.longestFrame else { throw .length }
            length = Int(number)
        }
        let key = isMasked ? Array(gathered.suffix(4)) : nil
        gathered = []
        let isPlain = key?.allSatisfy { $0 == 0 } ?? true
        state =
            isControl
            ? .control(opcode: opcode, length: length, key: key)
            : .payload(left: length, key: isPlain ? nil : key, phase: 0)
        return true
    }
}
