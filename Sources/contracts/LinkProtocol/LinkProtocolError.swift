/// The peer broke the link's protocol, or passed a bound: the link is of no more use. Holds nothing of what the peer sent but numbers.
public enum LinkProtocolError: Error, Equatable, Sendable {
    case version(UInt8)
    case frameKind(UInt8)
    /// A frame longer than its stream may take.
    case frameTooLong(StreamID, length: Int, allowed: Int)
    /// A number of a stream that the peer may not open: it is ours, zero, or was used before.
    case openedWrongly(StreamID)
    /// A frame on a stream that nobody opened.
    case neverOpened(StreamID)
    /// Data after the peer had said that none comes.
    case dataAfterEnd(StreamID)
    case windowTooLarge(StreamID)
    /// A ping or a goodbye on a stream that is not the link itself, or data on the link itself.
    case wrongStream(StreamID)
    case goAwayReason(UInt32)
    /// The peer has us answer more than it reads.
    case tooManyAnswers(bytes: Int)
    case streamHeader(String)
    case datagramTooLong(Int)
    case controlMessage(String)
}

extension LinkProtocolError: CustomStringConvertible {
    public var description: String {
        "the link's peer broke the protocol: \(reason); the link is closed, and a new one is dialed. If it goes on, see whether "
            + "both sides are of one version"
    }

    private var reason: String {
        switch self {
        case .version(let version): "version \(version) of the multiplexer, where 0 is expected"
        case .frameKind(let kind): "a frame of the unknown kind \(kind)"
        case .frameTooLong(let stream, let length, let allowed):
            "\(length) bytes on stream \(stream), which may take \(allowed)"
        case .openedWrongly(let stream): "stream \(stream) was opened by the wrong side or a second time"
        case .neverOpened(let stream): "a frame on stream \(stream), which nobody opened"
        case .dataAfterEnd(let stream): "data on stream \(stream) after its end"
        case .windowTooLarge(let stream): "the window of stream \(stream) passes 2 GiB"
        case .wrongStream(let stream): "a frame that may not stand on stream \(stream)"
        case .goAwayReason(let code): "a goodbye for the unknown reason \(code)"
        case .tooManyAnswers(let bytes): "\(bytes) bytes of answers are waiting, and it reads none"
        case .streamHeader(let what): "the header of a stream: \(what)"
        case .datagramTooLong(let length): "a datagram of \(length) bytes; UDP takes \(DatagramReader.longest)"
        case .controlMessage(let what): "a message of the control stream: \(what)"
        }
    }
}
