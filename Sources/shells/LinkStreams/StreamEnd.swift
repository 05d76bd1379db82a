import LinkProtocol
import NIOCore

/// Who has the other end of a stream: a TCP connection, a UDP session, or what still reads where the stream leads. All on the link's
/// event loop.
protocol StreamEnd: AnyObject {
    /// Bytes came. They count as unread until `LinkConnection.consumed`.
    func received(_ payload: ByteBuffer)
    /// All bytes of this round came: write them out.
    func receivedAll()
    /// No more bytes come.
    func receivedEnd()
    /// The stream is gone, by the peer's word or with the link.
    func receivedReset()
    /// What was sent before has left; `waiting` bytes have not.
    func mayReadOn(waiting: Int)
}

/// What a link keeps of one stream: bytes on their way out, and who gets those that come in.
struct StreamEntry {
    var end: any StreamEnd
    var outgoing = OutgoingBytes()
    /// Whether it got bytes in this round of reading.
    var isTouched = false
}

/// Buffers that wait for frames to carry them, in order. One buffer is the usual case and needs no more memory.
struct OutgoingBytes {
    private var first: ByteBuffer?
    private var others: CircularBuffer<ByteBuffer>?
    private(set) var count = 0

    mutating func append(_ buffer: ByteBuffer) {
        guard buffer.readableBytes > 0 else { return }
        count += buffer.readableBytes
        if first == nil {
            first = buffer
        } else if others == nil {
            others = [buffer]
        } else {
            others?.append(buffer)
        }
    }

    /// The next bytes, `limit` at most; nil when there are none.
    mutating func next(limit: Int) -> ByteBuffer? {
        guard var buffer = first, limit > 0 else { return nil }
        guard buffer.readableBytes > limit, let slice = buffer.readSlice(length: limit) else {
            count -= buffer.readableBytes
            first = others?.popFirst()
            if others?.isEmpty == true { others = nil }
            return buffer
        }
        count -= limit
        first = buffer
        return slice
    }
}
