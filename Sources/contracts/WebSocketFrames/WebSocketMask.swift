/// What a client's bytes are masked with (RFC 6455, section 5.3): four bytes, over and over. Masking and unmasking are the same.
public struct WebSocketMask: Equatable, Sendable {
    /// The four bytes from the next one on, the first of them lowest.
    private let key: UInt32

    private init(key: UInt32) { self.key = key }

    /// The reader of frames gives four bytes.
    init(_ bytes: ArraySlice<UInt8>) { self.init(key: bytes.reversed().reduce(0) { $0 << 8 | UInt32($1) }) }

    /// Unpredictable, as the RFC wants each frame's to be.
    public static func random() -> WebSocketMask { WebSocketMask(key: .random(in: .min ... .max)) }

    /// As the header of a frame has them.
    public var bytes: [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: key >> ($0 * 8)) } }

    /// Changes nothing.
    var isPlain: Bool { key == 0 }

    /// What `count` bytes further on are masked with.
    func advanced(by count: Int) -> WebSocketMask {
        let shift = UInt32(count & 3) * 8
        return WebSocketMask(key: key >> shift | key << ((32 - shift) & 31))
    }

    /// `target` has as many bytes as `source`, and may be the same bytes. Eight at a time: this is most of what a WebSocket costs.
    public func copy(_ source: UnsafeRawBufferPointer, to target: UnsafeMutableRawBufferPointer) {
        precondition(source.count == target.count, "as many bytes as there are")
        let pair = (UInt64(key) << 32 | UInt64(key)).littleEndian
        let whole = source.count & ~7
        for offset in stride(from: 0, to: whole, by: 8) {
            let word = source.loadUnaligned(fromByteOffset: offset, as: UInt64.self)
            target.storeBytes(of: word ^ pair, toByteOffset: offset, as: UInt64.self)
        }
        for offset in whole..<source.count {
            target[offset] = source[offset] ^ UInt8(truncatingIfNeeded: key >> UInt32((offset & 3) * 8))
        }
    }

    public func apply(to bytes: UnsafeMutableRawBufferPointer) { copy(UnsafeRawBufferPointer(bytes), to: bytes) }
}
