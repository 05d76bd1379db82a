public import NIOCore
public import WebSocketFrames

// Frames in NIO's buffers. NIO's own coders hold a frame as a whole and mask a byte at a time, which was most of what a link's way up cost.

extension WebSocketFrameReader {
    /// What comes next in `bytes`, of which its header is taken; nil when more bytes are needed. After `payload` those bytes are for the caller to
    /// take.
    public mutating func read(from bytes: inout ByteBuffer) throws(Fault) -> Event? {
        var offset = 0
        defer { bytes.moveReaderIndex(forwardBy: offset) }
        return try read(bytes.readableBytesSpan, &offset)
    }
}

extension ByteBuffer {
    /// The next `count` bytes, which are there, as they were before they were masked.
    public mutating func readUnmasked(_ count: Int, _ mask: WebSocketMask?) -> ByteBuffer {
        guard let mask else { return readSlice(length: count) ?? ByteBuffer() }
        var plain = ByteBufferAllocator().buffer(capacity: count)
        plain.writeMasked(mask, readSlice(length: count) ?? ByteBuffer())
        return plain
    }

    fileprivate mutating func writeMasked(_ mask: WebSocketMask, _ bytes: ByteBuffer) {
        bytes.withUnsafeReadableBytes { source in
            _ = writeWithUnsafeMutableBytes(minimumWritableBytes: source.count) { target in
                mask.copy(source, to: UnsafeMutableRawBufferPointer(rebasing: target[..<source.count]))
                return source.count
            }
        }
    }
}

extension ChannelHandlerContext {
    /// A message of one frame.
    public func writeFrame(
        _ kind: WebSocketFrameHeader.Kind, _ payload: ByteBuffer, isMasked: Bool, promise: EventLoopPromise<Void>?
    ) {
        let header = WebSocketFrameHeader(kind, length: payload.readableBytes, mask: isMasked ? .random() : nil)
        var frame = channel.allocator.buffer(capacity: 14 + (isMasked ? payload.readableBytes : 0))
        frame.writeBytes(header.bytes)
        if let mask = header.mask {
            frame.writeMasked(mask, payload)
            return write(NIOAny(frame), promise: promise)
        }
        write(NIOAny(frame), promise: payload.readableBytes == 0 ? promise : nil)
        if payload.readableBytes > 0 { write(NIOAny(payload), promise: promise) }
    }
}
