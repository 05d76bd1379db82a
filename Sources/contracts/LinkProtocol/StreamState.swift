/// What a link's end knows of one stream.
struct StreamState: Sendable {
    /// Bytes that we may still send.
    var sendWindow: Int
    /// Bytes that somebody wants to send and that have left in no frame yet.
    var offered = 0
    /// Nothing more is offered: the end follows the last byte.
    var isEnding = false
    /// The end was sent.
    var hasEnded = false
    /// The peer's end came.
    var peerEnded = false
    /// Bytes that the peer may still send.
    var receiveWindow: Int
    /// What the window is filled up to when the reader keeps up.
    var target: Int
    /// When the window was last filled up, in nanoseconds of the caller's clock.
    var filledAt: UInt64 = 0
    /// Bytes of a frame whose header came, and that have not come yet.
    var announced = 0
    /// Bytes that came and that nobody read yet.
    var unread = 0
    /// Whether the stream stands among those waiting for their turn.
    var isWaiting = false

    init(window: Int) {
        sendWindow = window
        receiveWindow = window
        target = window
    }

    /// What the peer may be allowed beyond what it sent and was allowed already.
    var grantable: Int { target - receiveWindow - announced - unread }
    /// What may be sent now.
    var sendable: Int { min(offered, sendWindow) }
    /// Whether the end is due: it needs no window.
    var mustEnd: Bool { isEnding && !hasEnded && offered == 0 }
    /// Whether both ways are over and all is read.
    var isOver: Bool { hasEnded && peerEnded && unread == 0 }
    var wantsTurn: Bool { sendable > 0 || mustEnd }

    /// A frame with `count` bytes of payload and these flags goes out.
    mutating func sent(_ count: Int, _ flags: FrameHeader.Flags) {
        offered -= count
        sendWindow -= count
        if flags.contains(.fin) { hasEnded = true }
    }
}
