import Glibc

/// Bytes whose order shows.
public enum Pattern {
    private static let period = 251
    private static let bytes = (0..<period * 1024).map { UInt8($0 % period) }

    public static func send(_ count: Int, on socket: Socket) throws {
        var sent = 0
        while sent < count {
            let start = sent % period
            let piece = bytes[start..<min(start + count - sent, bytes.count - period)]
            try socket.send(Array(piece))
            sent += piece.count
        }
        socket.endSending()
    }

    /// How many came in order before the clean end; -1 for any that were not, or another end.
    public static func receive(on socket: Socket) -> Int {
        var count = 0
        while true {
            switch socket.receive(atMost: 200_000) {
            case .bytes(let came):
                let start = count % period
                let isIntact = came.withUnsafeBytes { a in
                    bytes.withUnsafeBytes { b in
                        guard let a = a.baseAddress, let b = b.baseAddress else { return false }
                        return memcmp(a, b + start, came.count) == 0
                    }
                }
                guard isIntact else { return -1 }
                count += came.count
            case .end: return count
            case .failed: return -1
            }
        }
    }
}
