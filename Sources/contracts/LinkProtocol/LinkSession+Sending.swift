extension LinkSession {
    /// A frame whose payload is next on the connection, after `output`.
    public struct Frame: Equatable, Sendable {
        public let stream: StreamID
        /// Bytes of payload, above zero.
        public let count: Int
    }

    /// Opens a stream, and tells the peer at once: it must hear of streams in the order of their numbers.
    public mutating func open() throws(Refusal) -> StreamID {
        guard !saidGoodbye, !heardGoodbye else { throw .goodbye }
        guard !isExhausted else { throw .exhausted }
        guard streams.count < limits.streams, output.count < limits.answers else { throw .full }
        let id = nextOwn
        nextOwn += 2
        streams[id] = StreamState(window: limits.initialWindow)
        FrameHeader(.windowUpdate, .syn, stream: id, length: 0).append(to: &output)
        return id
    }

    /// `count` more bytes wait to be sent on the stream; `nextFrame` says when they may go. Nothing for a stream that is gone.
    public mutating func offer(_ count: Int, on id: StreamID) {
        streams[id]?.offered += count
        waitForTurn(id)
    }

    /// Nothing more will be offered: the peer hears the end after the last byte.
    public mutating func end(_ id: StreamID) {
        streams[id]?.isEnding = true
        waitForTurn(id)
    }

    /// Drops the stream both ways, and says so to the peer.
    public mutating func reset(_ id: StreamID) {
        guard streams[id] != nil else { return }
        remove(id)
        FrameHeader(.windowUpdate, .rst, stream: id, length: 0).append(to: &output)
    }

    /// What goes next: its header was appended to `output`, and the payload follows it. Nil when nothing more may go now, though
    /// `output` may hold frames without payload.
    public mutating func nextFrame() -> Frame? {
        while let turn = turns.next() {
            let id = turn.stream
            streams[id]?.isWaiting = false
            guard let stream = streams[id], stream.wantsTurn else { continue }
            // It has grown since.
            if turn.isShort, stream.sendable > limits.shortOffer, !turns.isEmpty {
                waitForTurn(id)
                continue
            }
            let count = min(stream.sendable, limits.frame)
            var flags: FrameHeader.Flags = []
            if stream.isEnding, !stream.hasEnded, count == stream.offered { flags.insert(.fin) }
            FrameHeader(count > 0 ? .data : .windowUpdate, flags, stream: id, length: UInt32(count)).append(to: &output)
            streams[id]?.sent(count, flags)
            waitForTurn(id)
            removeIfOver(id)
            if count > 0 { return Frame(stream: id, count: count) }
        }
        return nil
    }

    /// Whether `nextFrame` has something to say, or `output` does.
    public var wantsToSend: Bool { !turns.isEmpty || !output.isEmpty }

    /// `count` bytes of the stream's payload were handed on: the peer may send as many again, and more to a reader that keeps up and
    /// used what it had within two round trips. `now` is in nanoseconds of any steady clock.
    public mutating func consumed(_ count: Int, on id: StreamID, now: UInt64) {
        guard var stream = streams[id] else { return }
        let count = min(count, stream.unread)
        stream.unread -= count
        unread -= count
        if !stream.peerEnded, stream.grantable >= stream.target / 2 {
            if stream.unread <= stream.target / 4, now &- stream.filledAt < 2 * max(roundTrip ?? 0, Self.shortestRoundTrip) {
                grow(&stream)
            }
            stream.filledAt = now
            let more = stream.grantable
            stream.receiveWindow += more
            FrameHeader(.windowUpdate, stream: id, length: UInt32(more)).append(to: &output)
        }
        streams[id] = stream
        removeIfOver(id)
    }

    /// Nanoseconds: below it, how long a loop of events takes is what counts.
    private static let shortestRoundTrip: UInt64 = 500_000

    /// Twice as large, within the pool.
    private mutating func grow(_ stream: inout StreamState) {
        let taken = stream.target - limits.initialWindow
        let share = (limits.windowPool - poolTaken + taken) / 4
        let growth = min(stream.target, limits.largestWindow - stream.target, share - taken)
        guard growth > 0 else { return }
        stream.target += growth
        poolTaken += growth
    }

    /// Short ones come first.
    mutating func waitForTurn(_ id: StreamID) {
        guard let stream = streams[id], stream.wantsTurn, !stream.isWaiting else { return }
        streams[id]?.isWaiting = true
        turns.append(id, isShort: stream.sendable <= limits.shortOffer)
    }

    mutating func removeIfOver(_ id: StreamID) {
        if streams[id]?.isOver == true { remove(id) }
    }
}
