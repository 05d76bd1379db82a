public import LinkProtocol
public import NIOCore

/// One end of a link, over a channel whose bytes come and go in the clear: it runs a `LinkSession` and moves the streams' bytes.
///
/// All on the channel's event loop. What is to be sent is collected and written at the end of the loop's round, many streams' frames
/// in one write.
public final class LinkConnection: ChannelInboundHandler {
    public typealias InboundIn = ByteBuffer
    public typealias OutboundOut = ByteBuffer

    /// What happens on a link, told on its event loop.
    public struct Events {
        /// The link is up and the other side has said who it is.
        public var established: (LinkConnection, ControlMessage.Hello) -> Void = { _, _ in }
        /// The peer opened a stream that leads there; nil refuses it with a reset.
        public var accept: (LinkConnection, StreamHeader) -> StreamTarget? = { _, _ in nil }
        /// What the peer said later on the control stream.
        public var message: (LinkConnection, ControlMessage) -> Void = { _, _ in }
        /// The peer takes no new streams.
        public var goodbye: (LinkConnection) -> Void = { _ in }
        /// The peer does not answer, and may be gone; or it does again.
        public var doubted: (LinkConnection, Bool) -> Void = { _, _ in }
        /// The link is over; nil where it ended as it should.
        public var closed: (LinkConnection, (any Error)?) -> Void = { _, _ in }

        public init() {}
    }

    let hello: ControlMessage.Hello
    let role: LinkSession.Role
    let timing: LinkTiming
    var session: LinkSession
    var events: Events
    var entries: [StreamID: StreamEntry] = [:]
    var context: ChannelHandlerContext?
    /// Who is at the other end; nil until it said so.
    public internal(set) var peer: ControlMessage.Hello?
    var controlStream: StreamID?

    // Streams that got bytes in this round.
    private var touched: [StreamID] = []
    private var isReading = false
    private var isPumpDue = false
    // Frames that wait to be written together.
    private var staged: ByteBuffer
    private var failure: (any Error)?
    /// By `CarrierRoom`.
    private var isCarrierFull = false

    // Signs of life.
    var lastHeard = NIODeadline.now()
    var isDoubted = false
    /// By what their answers repeat; `pings` of the limits bounds them.
    var pingsSent: [UInt32: NIODeadline] = [:]
    var liveness: RepeatedTask?
    /// The time from a ping to its answer, the last one's; nil before the first.
    public private(set) var roundTrip: TimeAmount?
    public private(set) var bytesIn = 0
    public private(set) var bytesOut = 0

    public init(
        _ role: LinkSession.Role, hello: ControlMessage.Hello, limits: LinkLimits = LinkLimits(),
        timing: LinkTiming = LinkTiming(), events: Events
    ) {
        self.role = role
        self.hello = hello
        self.timing = timing
        self.events = events
        session = LinkSession(role, limits: limits)
        staged = ByteBuffer()
    }

    /// Streams that are open, the control stream left out.
    public var openStreams: Int { session.openStreams - (controlStream == nil ? 0 : 1) }
    /// Whether the link takes another stream.
    public var mayOpen: Bool { peer != nil && context != nil && session.mayOpen }

    // MARK: the channel

    public func handlerAdded(context: ChannelHandlerContext) {
        self.context = context
        if context.channel.isActive { begin() }
    }

    public func channelActive(context: ChannelHandlerContext) {
        begin()
        context.fireChannelActive()
    }

    public func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = unwrapInboundIn(data)
        bytesIn += buffer.readableBytes
        lastHeard = .now()
        if isDoubted {
            isDoubted = false
            events.doubted(self, false)
        }
        isReading = true
        var offset = 0
        do {
            while let event = try session.read(buffer.readableBytesSpan, &offset) { try take(event, buffer) }
        } catch {
            fail(error)
        }
    }

    public func channelReadComplete(context: ChannelHandlerContext) {
        isReading = false
        for id in touched {
            entries[id]?.isTouched = false
            entries[id]?.end.receivedAll()
        }
        touched.removeAll(keepingCapacity: true)
        pump()
    }

    public func channelWritabilityChanged(context: ChannelHandlerContext) {
        if context.channel.isWritable { pumpSoon() }
    }

    public func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        guard let room = event as? CarrierRoom else { return context.fireUserInboundEventTriggered(event) }
        isCarrierFull = room == .full
        if !isCarrierFull { pumpSoon() }
    }

    public func errorCaught(context: ChannelHandlerContext, error: any Error) {
        failure = failure ?? error
        context.close(promise: nil)
    }

    public func channelInactive(context: ChannelHandlerContext) {
        end()
        context.fireChannelInactive()
    }

    public func handlerRemoved(context: ChannelHandlerContext) { end() }

    private func end() {
        guard context != nil else { return }
        context = nil
        liveness?.cancel()
        liveness = nil
        let reason = failure ?? (session.saidGoodbye || session.heardGoodbye ? nil : LinkClosed())
        let entries = entries
        self.entries = [:]
        for entry in entries.values { entry.end.receivedReset() }
        let events = events
        self.events = Events()
        events.closed(self, reason)
    }

    /// Ends the link at once: its streams are reset on both sides.
    public func fail(_ error: any Error) {
        guard let context else { return }
        failure = failure ?? error
        isReading = false
        flush(context)
        end()
        context.close(promise: nil)
    }

    private func take(_ event: LinkSession.Event, _ buffer: ByteBuffer) throws {
        switch event {
        case .opened(let id): opened(id)
        case .payload(let id, let range):
            guard let payload = buffer.getSlice(at: buffer.readerIndex + range.lowerBound, length: range.count) else { return }
            guard let entry = entries[id] else { return consumed(range.count, on: id) }
            if !entry.isTouched {
                entries[id]?.isTouched = true
                touched.append(id)
            }
            entry.end.received(payload)
        case .ended(let id): entries[id]?.end.receivedEnd()
        case .reset(let id):
            guard let entry = entries.removeValue(forKey: id) else { return }
            entry.end.receivedReset()
        case .pong(let word): heardPong(word)
        case .goodbye: events.goodbye(self)
        }
    }

    private func heardPong(_ word: UInt32) {
        guard let sent = pingsSent.removeValue(forKey: word) else { return }
        let took = NIODeadline.now() - sent
        roundTrip = took
        session.roundTrip = min(session.roundTrip ?? .max, UInt64(max(0, took.nanoseconds)))
    }

    // MARK: sending

    /// Writes at the end of the event loop's round.
    func pumpSoon() {
        guard !isReading, !isPumpDue, let context else { return }
        isPumpDue = true
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute {
            bound.value.isPumpDue = false
            bound.value.pump()
        }
    }

    /// Writes what may be written now.
    private func pump() {
        guard let context else { return }
        // What waits stays with the session, which bounds it.
        if session.wantsToSend, mayWrite(context) { writeFrames(context) }
        closeWhenIdle()
    }

    private func mayWrite(_ context: ChannelHandlerContext) -> Bool { context.channel.isWritable && !isCarrierFull }

    private func writeFrames(_ context: ChannelHandlerContext) {
        var written = 0
        while written < LinkTiming.burst, mayWrite(context), let frame = session.nextFrame() {
            written += write(frame, context)
            if written >= LinkTiming.burst {
                flush(context)
                written = 0
            }
        }
        flush(context)
    }

    /// Stages or writes a frame; returns its payload's length.
    private func write(_ frame: LinkSession.Frame, _ context: ChannelHandlerContext) -> Int {
        staged.writeBytes(session.output)
        session.removeOutput()
        var left = frame.count
        while left > 0, let payload = entries[frame.stream]?.outgoing.next(limit: left) {
            left -= payload.readableBytes
            if payload.readableBytes <= LinkTiming.copied {
                staged.writeImmutableBuffer(payload)
            } else {
                writeStaged(context)
                bytesOut += payload.readableBytes
                context.write(wrapOutboundOut(payload), promise: nil)
            }
        }
        // What was offered is there; were it not, nothing that follows on the connection could be read.
        guard left == 0, let entry = entries[frame.stream] else {
            failure = failure ?? LinkClosed()
            context.close(promise: nil)
            return frame.count
        }
        entry.end.mayReadOn(waiting: entry.outgoing.count)
        return frame.count
    }

    private func flush(_ context: ChannelHandlerContext) {
        staged.writeBytes(session.output)
        session.removeOutput()
        writeStaged(context)
        context.flush()
    }

    private func writeStaged(_ context: ChannelHandlerContext) {
        guard staged.readableBytes > 0 else { return }
        bytesOut += staged.readableBytes
        context.write(wrapOutboundOut(staged), promise: nil)
        staged = ByteBuffer()
    }
}

/// Told up the pipeline by who carries a link's bytes and has taken as many as it may hold, and when it takes more again: a channel knows
/// no more than what waits for its socket.
public enum CarrierRoom: Sendable { case full, free }

/// The other side went away without a goodbye, or said nothing for too long.
public struct LinkClosed: Error, CustomStringConvertible {
    /// For how long nothing was heard; nil where the connection was cut.
    public var silence: TimeAmount?

    public init(silence: TimeAmount? = nil) { self.silence = silence }

    public var description: String {
        switch silence {
        case nil: "the link was cut; it is dialed again"
        case let silence?: "nothing was heard on the link for \(silence.nanoseconds / 1_000_000_000) s; it is dialed again"
        }
    }
}

extension LinkConnection {
    /// For the control stream and streams whose end is not there yet.
    func setEnd(_ end: any StreamEnd, of id: StreamID) {
        if entries[id] == nil { entries[id] = StreamEntry(end: end) } else { entries[id]?.end = end }
    }
}
