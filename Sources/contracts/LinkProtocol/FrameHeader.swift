/// The number of a stream within its link. Zero is the link itself; the side that dialed opens odd ones, the other even ones.
public typealias StreamID = UInt32

/// The twelve bytes before every frame, as yamux writes them (github.com/hashicorp/yamux, spec.md): version, kind, flags, stream,
/// length; big endian.
public struct FrameHeader: Equatable, Sendable {
    public enum Kind: UInt8, Sendable {
        /// `length` bytes follow.
        case data = 0
        /// `length` more bytes may be sent on the stream.
        case windowUpdate = 1
        /// `length` is a word that the answer repeats.
        case ping = 2
        /// `length` is the reason.
        case goAway = 3
    }

    public struct Flags: OptionSet, Equatable, Sendable {
        public let rawValue: UInt16
        public init(rawValue: UInt16) { self.rawValue = rawValue }

        /// Opens the stream; asks, in a ping.
        public static let syn = Flags(rawValue: 1)
        /// Takes the stream; answers, in a ping.
        public static let ack = Flags(rawValue: 2)
        /// Nothing more comes from this side.
        public static let fin = Flags(rawValue: 4)
        /// The stream is gone, both ways.
        public static let rst = Flags(rawValue: 8)
    }

    /// Bytes of a header.
    public static let size = 12

    public var kind: Kind
    public var flags: Flags
    public var stream: StreamID
    public var length: UInt32

    public init(_ kind: Kind, _ flags: Flags = [], stream: StreamID, length: UInt32) {
        self.kind = kind
        self.flags = flags
        self.stream = stream
        self.length = length
    }

    /// Reads the header that begins at `offset`; at least `size` bytes are there. Flags that nobody knows are passed over.
    init(_ bytes: RawSpan, at offset: Int) throws(LinkProtocolError) {
        let first = bytes.word(offset)
        let version = UInt8(truncatingIfNeeded: first >> 24)
        guard version == 0 else { throw .version(version) }
        let code = UInt8(truncatingIfNeeded: first >> 16)
        guard let kind = Kind(rawValue: code) else { throw .frameKind(code) }
        let flags = Flags(rawValue: UInt16(truncatingIfNeeded: first))
        self.init(kind, flags, stream: bytes.word(offset + 4), length: bytes.word(offset + 8))
    }

    func append(to output: inout [UInt8]) {
        output.append(0)
        output.append(kind.rawValue)
        output.append(bigEndian: flags.rawValue)
        output.append(bigEndian: stream)
        output.append(bigEndian: length)
    }
}
