/// Reads what an HTTP proxy answers to CONNECT (RFC 9110, section 9.3.6), up to the end of its header.
public struct ProxyAnswerReader: Sendable {
    /// Bytes of an answer's header at most.
    public static let longest = 16 << 10

    private var bytes: [UInt8] = []

    public init() {}

    public enum Answer: Equatable, Sendable {
        /// What follows is the tunnel.
        case connected
        /// The status, 100…999; 407 wants other credentials.
        case refused(status: Int)
        /// It is no HTTP, or the header does not end.
        case malformed
    }

    /// Reads on in `input` from `offset`, which moves to what follows the header; nil while it is not whole.
    public mutating func read(_ input: RawSpan, _ offset: inout Int) -> Answer? {
        while offset < input.byteCount {
            bytes.append(input.byte(offset))
            offset += 1
            guard bytes.count <= Self.longest else { return .malformed }
            guard bytes.last == 0x0A else { continue }
            // A lone LF ends a line as well (RFC 9112, section 2.2).
            if bytes.suffix(4) == [0x0D, 0x0A, 0x0D, 0x0A] || bytes.suffix(2) == [0x0A, 0x0A] { return answer }
        }
        return nil
    }

    /// `HTTP/1.1 200 …`.
    private var answer: Answer {
        let digits = bytes.dropFirst(9).prefix(3)
        guard bytes.starts(with: Array("HTTP/1.".utf8)), bytes.count > 12, bytes[8] == 0x20,
            [0x20, 0x0D, 0x0A].contains(bytes[12]), digits.allSatisfy({ (0x30...0x39).contains($0) })
        else { return .malformed }
        let status = digits.reduce(0) { $0 * 10 + Int($1 - 0x30) }
        guard status >= 100 else { return .malformed }
        return (200..<300).contains(status) ? .connected : .refused(status: status)
    }
}
