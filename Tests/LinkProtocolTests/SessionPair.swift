import LinkProtocol

/// Two ends of a link, and the bytes between them, which move in pieces as a test wants.
struct SessionPair {
    var dialer: LinkSession
    var listener: LinkSession
    private(set) var toListener: [UInt8] = []
    private(set) var toDialer: [UInt8] = []

    init(dialer: LinkLimits = LinkLimits(), listener: LinkLimits = LinkLimits()) {
        self.dialer = LinkSession(.dialer, limits: dialer)
        self.listener = LinkSession(.listener, limits: listener)
    }

    /// Lets the dialer send all that may go, `payload` giving the bytes of each frame.
    mutating func sendFromDialer(payload: (LinkSession.Frame) -> [UInt8] = { Array(repeating: 7, count: $0.count) }) {
        toListener += drain(&dialer, payload)
    }

    mutating func sendFromListener(payload: (LinkSession.Frame) -> [UInt8] = { Array(repeating: 8, count: $0.count) }) {
        toDialer += drain(&listener, payload)
    }

    /// What the listener hears of what is on its way.
    mutating func hearAtListener(atMost: Int = .max) throws(LinkProtocolError) -> [Heard] {
        try hear(&listener, &toListener, atMost: atMost)
    }

    mutating func hearAtDialer(atMost: Int = .max) throws(LinkProtocolError) -> [Heard] {
        try hear(&dialer, &toDialer, atMost: atMost)
    }
}

/// An event, with the bytes that it means.
enum Heard: Equatable {
    case opened(StreamID)
    case payload(StreamID, [UInt8])
    case ended(StreamID)
    case reset(StreamID)
    case pong(UInt32)
    case goodbye(LinkSession.Goodbye)
}

func drain(_ session: inout LinkSession, _ payload: (LinkSession.Frame) -> [UInt8]) -> [UInt8] {
    var sent: [UInt8] = []
    while let frame = session.nextFrame() {
        sent += session.output
        session.removeOutput()
        sent += payload(frame)
    }
    sent += session.output
    session.removeOutput()
    return sent
}

func hear(_ session: inout LinkSession, _ bytes: inout [UInt8], atMost: Int = .max) throws(LinkProtocolError) -> [Heard] {
    let piece = Array(bytes.prefix(atMost))
    bytes.removeFirst(piece.count)
    return try hear(&session, piece)
}

func hear(_ session: inout LinkSession, _ piece: [UInt8]) throws(LinkProtocolError) -> [Heard] {
    var offset = 0
    var heard: [Heard] = []
    while let event = try session.read(piece.span.bytes, &offset) {
        switch event {
        case .opened(let id): heard.append(.opened(id))
        case .payload(let id, let range): heard.append(.payload(id, Array(piece[range])))
        case .ended(let id): heard.append(.ended(id))
        case .reset(let id): heard.append(.reset(id))
        case .pong(let word): heard.append(.pong(word))
        case .goodbye(let reason): heard.append(.goodbye(reason))
        }
    }
    return heard
}

/// The bytes of a frame.
func frame(_ kind: UInt8, _ flags: UInt16, stream: UInt32, length: UInt32, payload: [UInt8] = [], version: UInt8 = 0) -> [UInt8] {
    func word(_ number: UInt32) -> [UInt8] { (0..<4).reversed().map { UInt8(truncatingIfNeeded: number >> ($0 * 8)) } }
    return [version, kind, UInt8(flags >> 8), UInt8(flags & 0xFF)] + word(stream) + word(length) + payload
}
