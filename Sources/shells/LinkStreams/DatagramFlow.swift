import LinkProtocol
public import NIOCore

/// One UDP session within a link: datagrams in, datagrams out, none held up. On the link's event loop.
///
/// What the link does not take in time is dropped, as by a router.
public final class DatagramFlow: StreamEnd {
    /// Bytes that may wait for the link; a datagram that finds more is dropped.
    static let queue = 256 << 10

    private let link: LinkConnection
    private let id: StreamID
    private var reader = DatagramReader()
    /// Takes a datagram out of the link.
    private let deliver: (ByteBuffer) -> Void
    /// The flow is over.
    private let over: () -> Void
    public private(set) var lastUsed = NIODeadline.now()
    private var isOver = false

    init(_ link: LinkConnection, _ id: StreamID, deliver: @escaping (ByteBuffer) -> Void, over: @escaping () -> Void) {
        self.link = link
        self.id = id
        self.deliver = deliver
        self.over = over
    }

    /// Sends a datagram through the link.
    public func send(_ datagram: ByteBuffer) {
        guard !isOver, let length = DatagramReader.lengthBytes(of: datagram.readableBytes) else { return }
        lastUsed = .now()
        guard link.waiting(on: id) + length.count + datagram.readableBytes <= Self.queue else { return }
        var framed = ByteBuffer()
        framed.reserveCapacity(length.count + datagram.readableBytes)
        framed.writeBytes(length)
        framed.writeImmutableBuffer(datagram)
        link.send(framed, on: id)
    }

    /// Ends the flow on both sides.
    public func close() {
        guard !isOver else { return }
        link.reset(id)
        receivedReset()
    }

    func received(_ payload: ByteBuffer) {
        lastUsed = .now()
        var rest = payload
        do {
            while rest.readableBytes > 0 {
                // One that came as a whole, as most do, is not copied.
                if reader.isAtStart, let datagram = rest.readDatagram() {
                    deliver(datagram)
                    continue
                }
                var offset = 0
                if let datagram = try reader.read(rest.readableBytesSpan, &offset) { deliver(ByteBuffer(bytes: datagram)) }
                rest.moveReaderIndex(forwardBy: offset)
            }
        } catch {
            return link.fail(error)
        }
        link.consumed(payload.readableBytes, on: id)
    }

    func receivedAll() {}
    func mayReadOn(waiting: Int) {}
    func receivedEnd() { close() }

    func receivedReset() {
        guard !isOver else { return }
        isOver = true
        over()
    }
}

extension ByteBuffer {
    /// The datagram that begins here, where all of it is there; nil otherwise, and where its length is none.
    fileprivate mutating func readDatagram() -> ByteBuffer? {
        guard let length = getInteger(at: readerIndex, as: UInt16.self), length <= DatagramReader.longest,
            readableBytes >= DatagramReader.prefix + Int(length)
        else { return nil }
        moveReaderIndex(forwardBy: DatagramReader.prefix)
        return readSlice(length: Int(length))
    }
}
