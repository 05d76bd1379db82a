/// What both ends say on the control stream: the first stream that the uplink opens. One byte of kind, two of length, big endian,
/// then the body. Kinds that this version does not know are passed over. That a link drains is said by yamux's own goodbye.
public enum ControlMessage: Equatable, Sendable {
    /// First, from both sides; the edge opens no stream before it came.
    case hello(Hello)
    /// Whether the uplink takes new connections.
    case ready(Bool)
    /// What the uplink tells about itself: bytes whose meaning is not the link's.
    case status([UInt8])
    /// The uplink asks for what the edge has to hand over, each time that this is another: it has what has this digest, 32 bytes, or nothing.
    case want([UInt8])
    /// Some of what the edge hands over, in order.
    case part(HandedPart)
    /// The edge's process makes place for another, which has the doors: the uplink dials, and says goodbye on this link once it has a new one.
    case leaving

    public struct Hello: Equatable, Sendable {
        /// Which build speaks: 64 printable bytes of ASCII at most, for people.
        public let build: String
        /// Which process speaks: chosen at its start, the same on all links of a process, so that the edge knows a restart.
        public let instance: UInt64

        /// What is not printable is left out of `build`, and what is too long cut.
        public init(build: String, instance: UInt64) {
            let printable = build.utf8.lazy.filter { (0x20..<0x7F).contains($0) }.prefix(Self.longestBuild)
            self.build = String(decoding: Array(printable), as: UTF8.self)
            self.instance = instance
        }

        static let longestBuild = 64
    }

    /// Bytes of a status, and of any message's body, at most.
    public static let longestStatus = 4096

    /// Nil for what is too long.
    public var bytes: [UInt8]? {
        switch self {
        case .hello(let hello):
            var body: [UInt8] = []
            body.append(bigEndian: hello.instance)
            return Self.framed(1, body + hello.build.utf8)
        case .ready(let isReady): return Self.framed(2, [isReady ? 1 : 0])
        case .status(let status): return status.count <= Self.longestStatus ? Self.framed(3, status) : nil
        case .want(let digest): return digest.count <= Self.longestStatus ? Self.framed(4, digest) : nil
        case .part(let part): return part.bytes.count <= HandedPart.longest ? Self.framed(5, part.body) : nil
        case .leaving: return Self.framed(6, [])
        }
    }

    private static func framed(_ kind: UInt8, _ body: [UInt8]) -> [UInt8] {
        [kind, UInt8(body.count >> 8), UInt8(body.count & 0xFF)] + body
    }

    /// Nil for a kind that this version does not know.
    init?(kind: UInt8, body: ArraySlice<UInt8>) throws(LinkProtocolError) {
        switch kind {
        case 1:
            guard body.count >= 8 else { throw .controlMessage("a hello of \(body.count) bytes") }
            let instance = body.prefix(8).reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            self = .hello(Hello(build: String(decoding: body.dropFirst(8), as: UTF8.self), instance: instance))
        case 2:
            guard let first = body.first, first <= 1 else { throw .controlMessage("readiness that is neither yes nor no") }
            self = .ready(first == 1)
        case 3: self = .status(Array(body))
        case 4: self = .want(Array(body))
        case 5: self = .part(try HandedPart(body: body))
        case 6: self = .leaving
        default: return nil
        }
    }
}

/// Takes the messages out of a control stream, which comes in pieces of any length. Holds one message at most.
public struct ControlReader: Sendable {
    private var bytes: [UInt8] = []

    public init() {}

    /// Reads on in `input` from `offset`, which moves on; nil when no whole message is left.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) throws(LinkProtocolError) -> ControlMessage? {
        while offset < input.byteCount {
            bytes.append(input.byte(offset))
            offset += 1
            guard bytes.count >= 3 else { continue }
            let length = Int(bytes[1]) << 8 | Int(bytes[2])
            guard length <= ControlMessage.longestStatus else { throw .controlMessage("\(length) bytes long") }
            guard bytes.count == 3 + length else { continue }
            defer { bytes.removeAll(keepingCapacity: true) }
            if let message = try ControlMessage(kind: bytes[0], body: bytes[3...]) { return message }
        }
        return nil
    }
}
