/// One end of a link: a yamux session as a value. Bytes come in, and events go out; offers come in, and frames go out. It touches no
/// payload: it says where it stands among the bytes that came, and how much of whose may go next, so that who moves the bytes need
/// not copy them. It is stricter than yamux in one thing: streams open in the order of their numbers.
///
/// Who runs it calls `read` with what came until it gives nil, tells by `consumed` what was handed on, and whenever the connection
/// takes more calls `nextFrame`, writing `output` before the payload of the frame.
public struct LinkSession: Sendable {
    /// Who dialed opens streams of odd numbers.
    public enum Role: Sendable { case dialer, listener }

    public enum Event: Equatable, Sendable {
        /// The peer opened a stream.
        case opened(StreamID)
        /// The bytes of the input at `range` belong to the stream.
        case payload(StreamID, Range<Int>)
        /// The peer sends no more on the stream.
        case ended(StreamID)
        /// The stream is gone: the peer reset it, or `unread` of the limits was passed. Nothing more comes of it.
        case reset(StreamID)
        /// The answer to a ping.
        case pong(UInt32)
        /// The peer takes no new streams; those that are open go on.
        case goodbye(Goodbye)
    }

    public enum Goodbye: UInt32, Sendable {
        case normal = 0
        case protocolError = 1
        case internalError = 2
    }

    /// Why no stream can be opened.
    public enum Refusal: Error, Equatable, Sendable {
        /// As many as the limits allow are open, or the peer reads nothing.
        case full
        /// One side has said goodbye.
        case goodbye
        /// All numbers were used: the link must be replaced.
        case exhausted
    }

    let role: Role
    let limits: LinkLimits
    var streams: [StreamID: StreamState] = [:]
    /// What stands before the next frame's payload, and all frames that have none; `removeOutput` when it is written.
    public internal(set) var output: [UInt8] = []

    // Streams.
    var nextOwn: StreamID
    var lastOfPeer: StreamID = 0
    var openOfPeer = 0
    var turns = Turns()
    var unread = 0
    var poolTaken = 0

    /// Nanoseconds that a ping took at best; nil before one was answered. Windows grow where they, and not the link, hold a stream up.
    public var roundTrip: UInt64?

    // Pings.
    var pings: [UInt32] = []
    var nextPing: UInt32 = 0

    // The frame that is being read.
    var partialHeader: [UInt8] = []
    var body: Body?
    var due: [Event] = []
    var dueRead = 0

    /// What is left of the frame that is being read.
    struct Body {
        let stream: StreamID
        var left: Int
        let flags: FrameHeader.Flags
    }

    public init(_ role: Role, limits: LinkLimits = LinkLimits()) {
        self.role = role
        self.limits = limits
        nextOwn = role == .dialer ? 1 : 2
    }

    /// Streams that are open, those of both sides.
    public var openStreams: Int { streams.count }
    public var mayOpen: Bool {
        !saidGoodbye && !heardGoodbye && !isExhausted && streams.count < limits.streams && output.count < limits.answers
    }
    /// Whether no number is left for another stream.
    public var isExhausted: Bool { nextOwn > StreamID.max - 2 }
    /// Whether we said goodbye.
    public internal(set) var saidGoodbye = false
    /// Whether the peer did: once the streams are over, who hears it closes the connection, as no stream can be on its way any more.
    public internal(set) var heardGoodbye = false

    /// Call when `output` was written.
    public mutating func removeOutput() { output.removeAll(keepingCapacity: output.capacity <= 64 << 10) }

    /// Takes no new streams from the peer, and says so; those that are open go on. Twice is once.
    public mutating func sayGoodbye(_ reason: Goodbye = .normal) {
        guard !saidGoodbye else { return }
        saidGoodbye = true
        FrameHeader(.goAway, stream: 0, length: reason.rawValue).append(to: &output)
    }

    /// Asks the peer for a sign of life. Returns what `Event.pong` will repeat; nil when `pings` of the limits have no answer yet.
    public mutating func ping() -> UInt32? {
        guard pings.count < limits.pings else { return nil }
        let word = nextPing
        nextPing &+= 1
        pings.append(word)
        FrameHeader(.ping, .syn, stream: 0, length: word).append(to: &output)
        return word
    }

    func isOwn(_ stream: StreamID) -> Bool { (stream & 1 == 1) == (role == .dialer) }

    /// Forgets the stream and gives back what its windows held.
    mutating func remove(_ id: StreamID) {
        guard let stream = streams.removeValue(forKey: id) else { return }
        unread -= stream.unread
        poolTaken -= stream.target - limits.initialWindow
        if !isOwn(id) { openOfPeer -= 1 }
    }
}
