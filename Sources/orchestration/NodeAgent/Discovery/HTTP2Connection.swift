/// The server's side of HTTP/2 (RFC 9113) for one client that is known, Envoy, which opens one gRPC stream. Bytes in, bytes and messages
/// out; hostile bytes end the connection.
///
/// Header blocks are not decoded: there is one method only, and no answer depends on what stands in them.
struct HTTP2Connection {
    /// Bytes of a message from Envoy: 10,000 names and a description of itself take some 500,000.
    static let messageLimit = 4 << 20
    /// Bytes of a frame that we take (SETTINGS_MAX_FRAME_SIZE's default), and of one that we send, which every peer takes.
    private static let frameLimit = 16384
    private static let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

    private enum Frame {
        static let data: UInt8 = 0
        static let headers: UInt8 = 1
        static let reset: UInt8 = 3
        static let settings: UInt8 = 4
        static let ping: UInt8 = 6
        static let goAway: UInt8 = 7
        static let windowUpdate: UInt8 = 8
        static let continuation: UInt8 = 9
    }
    private static let acknowledged: UInt8 = 1
    private static let endOfStream: UInt8 = 1
    private static let endOfHeaders: UInt8 = 4
    private static let padded: UInt8 = 8

    enum Event: Hashable {
        /// A stream begins; one that was open before is over.
        case opened
        case message([UInt8])
        case closed
    }

    /// To be written to the peer.
    private(set) var output: [UInt8] = []
    private var input: [UInt8] = []
    private var hasPreface = false
    /// The open stream; nil for none.
    private var stream: UInt32?
    private var lastStream: UInt32 = 0
    /// The stream whose header block has not ended.
    private var unfinishedHeaders: (stream: UInt32, bytes: Int, ends: Bool)?
    private var body: [UInt8] = []
    /// Of responses, that the peer's windows did not let through yet.
    private var unsent: [UInt8] = []
    private var connectionWindow = 65535
    private var streamWindow = 65535
    private var initialWindow = 65535

    init() {
        // At most one stream (SETTINGS_MAX_CONCURRENT_STREAMS, 3), no table of headers (SETTINGS_HEADER_TABLE_SIZE, 1).
        write(Frame.settings, 0, 0, [0, 3, 0, 0, 0, 1, 0, 1, 0, 0, 0, 0])
    }

    /// Whether there is room for another message; a peer that does not read gets no more.
    var isDrained: Bool { unsent.isEmpty && output.isEmpty }

    mutating func takeOutput() -> [UInt8] {
        defer { output = [] }
        return output
    }

    /// What could not be written goes back.
    mutating func putBack(_ bytes: ArraySlice<UInt8>) { output = Array(bytes) + output }

    /// Sends a gRPC message on the open stream.
    mutating func send(_ message: [UInt8]) {
        guard stream != nil else { return }
        unsent += [0] + bigEndian(UInt32(message.count)) + message
        flush()
    }

    mutating func take(_ bytes: some Collection<UInt8>) throws(MalformedMessage) -> [Event] {
        input += bytes
        var events: [Event] = []
        if !hasPreface {
            let known = input.prefix(Self.preface.count)
            guard known.elementsEqual(Self.preface.prefix(known.count)) else { throw MalformedMessage(reason: "no HTTP/2") }
            if known.count < Self.preface.count { return [] }
            hasPreface = true
            input.removeFirst(Self.preface.count)
        }
        var start = 0
        while input.count - start >= 9 {
            let length = Int(input[start]) << 16 | Int(input[start + 1]) << 8 | Int(input[start + 2])
            guard length <= Self.frameLimit else { throw MalformedMessage(reason: "a frame of \(length) bytes") }
            guard input.count - start - 9 >= length else { break }
            let number = try readNumber(input[(start + 5)..<(start + 9)]) & 0x7FFF_FFFF
            let payload = input[(start + 9)..<(start + 9 + length)]
            try frame(input[start + 3], input[start + 4], number, payload, &events)
            start += 9 + length
        }
        input.removeFirst(start)
        flush()
        // Answers to pings and settings that nobody reads.
        guard output.count <= Self.messageLimit * 2 else { throw MalformedMessage(reason: "a peer that does not read") }
        return events
    }

    // MARK: frames

    private mutating func frame(
        _ kind: UInt8, _ flags: UInt8, _ number: UInt32, _ payload: ArraySlice<UInt8>, _ events: inout [Event]
    ) throws(MalformedMessage) {
        if let unfinished = unfinishedHeaders {
            guard kind == Frame.continuation, number == unfinished.stream else {
                throw MalformedMessage(reason: "a frame within a header block")
            }
        }
        switch kind {
        case Frame.data: try data(flags, number, payload, &events)
        case Frame.headers, Frame.continuation: try headers(kind, flags, number, payload.count, &events)
        case Frame.reset: if number == stream { close(&events) }
        case Frame.settings: try settings(flags, number, payload)
        case Frame.ping:
            guard payload.count == 8, number == 0 else { throw MalformedMessage(reason: "a bad PING") }
            if flags & Self.acknowledged == 0 { write(Frame.ping, Self.acknowledged, 0, payload) }
        case Frame.windowUpdate:
            let more = Int(try readNumber(payload) & 0x7FFF_FFFF)
            if number == 0 { connectionWindow += more }
            if number == stream { streamWindow += more }
            guard more > 0, connectionWindow <= Int(Int32.max), streamWindow <= Int(Int32.max) else {
                throw MalformedMessage(reason: "a bad WINDOW_UPDATE")
            }
        // The peer opens no stream any more; the open one goes on. PRIORITY and what is unknown mean nothing here.
        default: break
        }
    }

    private mutating func headers(
        _ kind: UInt8, _ flags: UInt8, _ number: UInt32, _ length: Int, _ events: inout [Event]
    ) throws(MalformedMessage) {
        let begun = unfinishedHeaders
        guard kind == Frame.headers || begun != nil else { throw MalformedMessage(reason: "a CONTINUATION of nothing") }
        let bytes = (begun?.bytes ?? 0) + length
        let ends = begun?.ends ?? (flags & Self.endOfStream != 0)
        guard bytes <= 64 << 10 else { throw MalformedMessage(reason: "a header block of \(bytes) bytes") }
        guard flags & Self.endOfHeaders != 0 else {
            unfinishedHeaders = (number, bytes, ends)
            return
        }
        unfinishedHeaders = nil
        if number == stream {
            // Trailers.
            if ends { close(&events) }
            return
        }
        guard number % 2 == 1, number > lastStream else { throw MalformedMessage(reason: "a stream of number \(number)") }
        if let former = stream { write(Frame.reset, 0, former, [0, 0, 0, 8]) }
        lastStream = number
        if ends {
            stream = nil
            // Nothing to ask: an answer without a message.
            write(Frame.reset, 0, number, [0, 0, 0, 8])
            events.append(.closed)
            return
        }
        stream = number
        body = []
        unsent = []
        streamWindow = initialWindow
        // `:status 200` of the static table (RFC 7541, appendix A), and `content-type`, its number 31, as a literal.
        write(Frame.headers, Self.endOfHeaders, number, [0x88, 0x0F, 0x10, 16] + Array("application/grpc".utf8))
        events.append(.opened)
    }

    private mutating func data(
        _ flags: UInt8, _ number: UInt32, _ payload: ArraySlice<UInt8>, _ events: inout [Event]
    ) throws(MalformedMessage) {
        guard number != 0 else { throw MalformedMessage(reason: "DATA of no stream") }
        if !payload.isEmpty {
            // All of it is taken at once, so that our windows never close.
            write(Frame.windowUpdate, 0, 0, bigEndian(UInt32(payload.count)))
            if number == stream { write(Frame.windowUpdate, 0, number, bigEndian(UInt32(payload.count))) }
        }
        guard number == stream else { return }
        var contents = payload
        if flags & Self.padded != 0 {
            guard let padding = contents.popFirst(), Int(padding) <= contents.count else {
                throw MalformedMessage(reason: "more padding than frame")
            }
            contents = contents.dropLast(Int(padding))
        }
        body += contents
        var start = 0
        while body.count - start >= 5 {
            let length = Int(try readNumber(body[(start + 1)..<(start + 5)]))
            guard body[start] == 0 else { throw MalformedMessage(reason: "a compressed message") }
            guard length <= Self.messageLimit else { throw MalformedMessage(reason: "a message of \(length) bytes") }
            guard body.count - start - 5 >= length else { break }
            events.append(.message(Array(body[(start + 5)..<(start + 5 + length)])))
            start += 5 + length
        }
        body.removeFirst(start)
        if flags & Self.endOfStream != 0 { close(&events) }
    }

    private mutating func settings(_ flags: UInt8, _ number: UInt32, _ payload: ArraySlice<UInt8>) throws(MalformedMessage) {
        guard number == 0, payload.count % 6 == 0 else { throw MalformedMessage(reason: "bad SETTINGS") }
        if flags & Self.acknowledged != 0 { return }
        var rest = payload
        while rest.count >= 6 {
            let value = try readNumber(rest.dropFirst(2).prefix(4))
            // SETTINGS_INITIAL_WINDOW_SIZE; it changes the open streams' windows too.
            if rest.prefix(2).elementsEqual([0, 4]) {
                guard value <= UInt32(Int32.max) else { throw MalformedMessage(reason: "a window of \(value) bytes") }
                streamWindow += Int(value) - initialWindow
                initialWindow = Int(value)
            }
            rest = rest.dropFirst(6)
        }
        write(Frame.settings, Self.acknowledged, 0, [])
    }

    private mutating func close(_ events: inout [Event]) {
        stream = nil
        body = []
        unsent = []
        events.append(.closed)
    }

    // MARK: writing

    private mutating func flush() {
        guard let stream else { return }
        var start = 0
        while start < unsent.count {
            let count = min(unsent.count - start, connectionWindow, streamWindow, Self.frameLimit)
            if count <= 0 { break }
            connectionWindow -= count
            streamWindow -= count
            write(Frame.data, 0, stream, unsent[start..<(start + count)])
            start += count
        }
        unsent.removeFirst(start)
    }

    private mutating func write(_ kind: UInt8, _ flags: UInt8, _ number: UInt32, _ payload: some Collection<UInt8>) {
        output += bigEndian(UInt32(payload.count)).dropFirst() + [kind, flags] + bigEndian(number) + payload
    }
}

private func bigEndian(_ value: UInt32) -> [UInt8] {
    [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) }
}

private func readNumber(_ bytes: ArraySlice<UInt8>) throws(MalformedMessage) -> UInt32 {
    guard bytes.count == 4 else { throw MalformedMessage(reason: "a number of \(bytes.count) bytes") }
    return bytes.reduce(0) { $0 << 8 | UInt32($1) }
}
