/// Reads the frames of a WebSocket (RFC 6455, section 5.2) as their bytes come, and keeps none of them: a client of wstunnel makes frames of
/// up to 32 MiB.
public struct WebSocketFrameReader: Sendable {
    public enum Event: Equatable, Sendable {
        /// The next `count` bytes belong to a message; `mask` unmasks them, nil where there is nothing to do.
        case payload(count: Int, mask: WebSocketMask?)
        /// The frame that the payload belonged to is over.
        case end
        case ping([UInt8])
        case pong
        case close
    }

    public enum Rules: Equatable, Sendable {
        /// What is masked and what is not is taken alike, and text like bytes: wstunnel's clients send unmasked frames.
        case tolerant
        /// Bytes alone, all masked (a client's) or none, in frames of 128 KiB at most.
        case strict(isMasked: Bool)

        /// Bytes of a frame; 64 MiB as in wstunnel.
        var longestFrame: Int { self == .tolerant ? 64 << 20 : 128 << 10 }
    }

    public enum Fault: Error, Equatable, Sendable, CustomStringConvertible {
        case extensionBits, opcode(UInt8), controlFrame, length, masking, text, continuation

        public var description: String {
            switch self {
            case .extensionBits: "the WebSocket's peer uses an extension"
            case .opcode(let code): "the WebSocket's peer sends frames of kind \(code)"
            case .controlFrame: "the WebSocket's peer sends a control frame that is none"
            case .length: "the WebSocket's peer sends too long a frame"
            case .masking: "the WebSocket's peer masks wrongly"
            case .text: "the WebSocket's peer sends text"
            case .continuation: "the WebSocket's peer continues what it did not begin"
            }
        }
    }

    private enum State: Sendable {
        case header
        case payload(left: Int, mask: WebSocketMask?)
        case control(opcode: UInt8, length: Int, mask: WebSocketMask?)
    }

    private var state = State.header
    private var gathered: [UInt8] = []
    private let rules: Rules
    /// Kept where rules are strict.
    private var isWithinMessage = false

    public init(_ rules: Rules = .tolerant) { self.rules = rules }

    /// What comes next; nil when more bytes are needed. After `payload` the caller takes that many bytes itself, by `offset`.
    public mutating func read(_ bytes: RawSpan, _ offset: inout Int) throws(Fault) -> Event? {
        while true {
            switch state {
            case .header:
                guard try readHeader(bytes, &offset) else { return nil }
            case .payload(0, _):
                state = .header
                return .end
            case .payload(let left, let mask):
                let count = min(left, bytes.byteCount - offset)
                guard count > 0 else { return nil }
                state = .payload(left: left - count, mask: mask?.advanced(by: count))
                return .payload(count: count, mask: mask)
            case .control(let opcode, let length, let mask):
                guard gather(length, bytes, &offset) else { return nil }
                var content = gathered
                gathered = []
                state = .header
                content.withUnsafeMutableBytes { mask?.apply(to: $0) }
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
            guard number <= rules.longestFrame else { throw .length }
            length = Int(number)
        }
        try check(opcode, isMasked: length == 0 ? nil : isMasked, isFinal: first & 0x80 != 0)
        let mask = isMasked ? WebSocketMask(gathered.suffix(4)) : nil
        gathered = []
        let needed = mask.flatMap { $0.isPlain ? nil : $0 }
        state = isControl ? .control(opcode: opcode, length: length, mask: needed) : .payload(left: length, mask: needed)
        return true
    }

    /// - Parameter isMasked: nil where there is nothing to mask.
    private mutating func check(_ opcode: UInt8, isMasked: Bool?, isFinal: Bool) throws(Fault) {
        guard case .strict(let shouldMask) = rules else { return }
        guard isMasked ?? shouldMask == shouldMask else { throw .masking }
        guard opcode != 1 else { throw .text }
        guard opcode < 8 else { return }
        guard (opcode == 0) == isWithinMessage else { throw .continuation }
        isWithinMessage = !isFinal
    }
}
