import NIOCore

/// Many datagrams in one call, as the kernel takes and gives them (UDP_SEGMENT, UDP_GRO: linux/udp.h): for the few sockets with much traffic.
public enum DatagramOffload {
    /// Datagrams of one call (`UDP_MAX_SEGMENTS`), and bytes of all of them.
    static let mostSegments = 64
    static let mostBytes = 65_000

    /// Whether this kernel gives several at a time.
    public static var isSupported: Bool { System.supportsUDPReceiveOffload && System.supportsUDPSegmentationOffload }

    /// The datagrams of what was read at once, in their order.
    static func each(of envelope: AddressedEnvelope<ByteBuffer>, _ body: (ByteBuffer) -> Void) {
        guard let size = envelope.metadata?.segmentSize, size > 0 else { return body(envelope.data) }
        var rest = envelope.data
        while rest.readableBytes > size, let first = rest.readSlice(length: size) { body(first) }
        body(rest)
    }
}

extension AddressedEnvelope where DataType == ByteBuffer {
    /// - Parameter segmentSize: of the datagrams in `bytes`, the last of which may be shorter; nil for a single one.
    init(to address: SocketAddress, _ bytes: ByteBuffer, segmentSize: Int?) {
        self.init(remoteAddress: address, data: bytes)
        if let segmentSize { metadata = .init(ecnState: .transportNotCapable, packetInfo: nil, segmentSize: segmentSize) }
    }
}

/// Gathers the datagrams for one address that come in one round of the event loop, and sends those of one size together.
final class DatagramGathering {
    private let send: (ByteBuffer, _ segmentSize: Int?) -> Void
    private let flush: () -> Void
    private let eventLoop: any EventLoop
    private var gathered = ByteBuffer()
    /// Of the first, which all but the last have.
    private var size = 0
    private var count = 0
    private var isComplete = false
    private var isScheduled = false

    /// - Parameters:
    ///   - send: takes what one call sends; nil for a single datagram.
    ///   - flush: comes behind.
    init(
        on eventLoop: any EventLoop, send: @escaping (ByteBuffer, _ segmentSize: Int?) -> Void, flush: @escaping () -> Void
    ) {
        self.eventLoop = eventLoop
        self.send = send
        self.flush = flush
    }

    func add(_ datagram: ByteBuffer) {
        let bytes = datagram.readableBytes
        let fits =
            count > 0 && !isComplete && bytes <= size && bytes > 0 && count < DatagramOffload.mostSegments
            && gathered.readableBytes + bytes <= DatagramOffload.mostBytes
        if !fits {
            sendGathered()
            size = bytes
        }
        gathered.writeImmutableBuffer(datagram)
        count += 1
        isComplete = bytes < size || bytes == 0
        guard !isScheduled else { return }
        isScheduled = true
        let bound = NIOLoopBound(self, eventLoop: eventLoop)
        eventLoop.execute {
            bound.value.isScheduled = false
            bound.value.sendGathered()
            bound.value.flush()
        }
    }

    private func sendGathered() {
        guard count > 0 else { return }
        send(gathered, count > 1 ? size : nil)
        gathered = ByteBuffer()
        count = 0
        isComplete = false
    }
}
