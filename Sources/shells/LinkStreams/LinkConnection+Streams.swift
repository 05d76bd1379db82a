public import LinkProtocol
public import NIOCore

/// When and how much, on every link.
public struct LinkTiming: Sendable {
    /// Between two pings.
    public var ping = TimeAmount.seconds(1)
    /// After so long without a byte, though a ping was sent, new streams go by another link or uplink where there is one. On a slow way
    /// it takes `doubtRoundTrips` of the last ping's time.
    public var doubt = TimeAmount.milliseconds(1200)
    /// Without a byte from the peer for so long the link is dead.
    public var silence = TimeAmount.seconds(15)
    /// From the handshake to the peer's hello.
    public var hello = TimeAmount.seconds(10)
    /// What streams that are open at a goodbye are given to end.
    public var drain = TimeAmount.seconds(600)
    /// From an edge's word that it leaves to its goodbye on links for which the uplink has no other yet.
    public var handover = TimeAmount.seconds(20)

    /// A ping waits behind what was written before it, so that a full link's time varies much.
    static let doubtRoundTrips: Int64 = 4

    /// Bytes of payload that are written before the socket is asked for more room.
    static let burst = 128 << 10
    /// Payload up to this is copied beside its header: a write, and a TLS record, the less.
    static let copied = 8 << 10

    public init() {}
}

extension LinkConnection {
    /// Begins with a hello: the uplink, which dialed, opens the control stream for it.
    func begin() {
        guard liveness == nil, let context else { return }
        if role == .dialer {
            do {
                let id = try session.open()
                controlStream = id
                setEnd(ControlEnd(self, id), of: id)
                say(.hello(hello))
            } catch {
                return fail(error)
            }
        }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        liveness = context.eventLoop.scheduleRepeatedTask(initialDelay: .zero, delay: timing.ping) { _ in
            bound.value.checkLife()
        }
        context.eventLoop.scheduleTask(in: timing.hello) {
            if bound.value.peer == nil { bound.value.fail(LinkClosed(silence: bound.value.timing.hello)) }
        }
        lastHeard = .now()
    }

    private func checkLife() {
        let silence = NIODeadline.now() - lastHeard
        guard silence < timing.silence else { return fail(LinkClosed(silence: silence)) }
        if let word = session.ping() {
            pingsSent[word] = .now()
            pumpSoon()
        }
        guard !isDoubted, let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        let patience = max(timing.doubt, .nanoseconds((roundTrip?.nanoseconds ?? 0) * LinkTiming.doubtRoundTrips))
        context.eventLoop.scheduleTask(in: patience) { bound.value.doubtIfSilent(for: patience) }
    }

    private func doubtIfSilent(for patience: TimeAmount) {
        guard context != nil, !isDoubted, NIODeadline.now() - lastHeard >= patience else { return }
        isDoubted = true
        events.doubted(self, true)
    }

    // MARK: control

    /// Says it on the control stream; nothing is said on a link that is not up, or that is longer than messages are.
    public func say(_ message: ControlMessage) {
        guard let controlStream, let bytes = message.bytes else { return }
        send(ByteBuffer(bytes: bytes), on: controlStream)
    }

    /// Says messages that are put together already, in a buffer that other links may say too.
    public func say(framed messages: ByteBuffer) {
        if let controlStream { send(messages, on: controlStream) }
    }

    /// Bytes of what was said that have not left yet.
    public var unsaid: Int { controlStream.map { waiting(on: $0) } ?? 0 }

    func heard(_ message: ControlMessage) {
        if case .hello(let hello) = message {
            guard peer == nil else { return }
            peer = hello
            if role == .listener { say(.hello(self.hello)) }
            events.established(self, hello)
        } else {
            events.message(self, message)
        }
    }

    /// Takes no new streams; the link ends with the last one, or after `drain` of the timing.
    public func drain() {
        guard !session.saidGoodbye, let context else { return }
        session.sayGoodbye()
        pumpSoon()
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.scheduleTask(in: timing.drain) { bound.value.context?.close(promise: nil) }
    }

    /// Who heard a goodbye closes after the last stream.
    func closeWhenIdle() {
        guard session.heardGoodbye, openStreams == 0, let context else { return }
        let bound = NIOLoopBound(self, eventLoop: context.eventLoop)
        context.eventLoop.execute { bound.value.context?.close(promise: nil) }
    }

    // MARK: streams

    func opened(_ id: StreamID) {
        if role == .listener, controlStream == nil {
            controlStream = id
            setEnd(ControlEnd(self, id), of: id)
        } else if role == .listener {
            // Only the edge opens streams but this one.
            session.reset(id)
        } else {
            setEnd(HeaderEnd(self, id), of: id)
        }
    }

    /// Opens a stream that leads there.
    func open(_ header: StreamHeader, end: (StreamID) -> any StreamEnd) throws(LinkSession.Refusal) -> StreamID {
        guard mayOpen else { throw .goodbye }
        let id = try session.open()
        entries[id] = StreamEntry(end: end(id))
        send(ByteBuffer(bytes: header.bytes), on: id)
        return id
    }

    func send(_ buffer: ByteBuffer, on id: StreamID) {
        guard entries[id] != nil else { return }
        entries[id]?.outgoing.append(buffer)
        session.offer(buffer.readableBytes, on: id)
        pumpSoon()
    }

    /// Bytes that wait to be sent on the stream.
    func waiting(on id: StreamID) -> Int { entries[id]?.outgoing.count ?? 0 }

    func end(_ id: StreamID) {
        session.end(id)
        pumpSoon()
    }

    func reset(_ id: StreamID) {
        guard entries.removeValue(forKey: id) != nil else { return }
        session.reset(id)
        pumpSoon()
    }

    func consumed(_ count: Int, on id: StreamID) {
        session.consumed(count, on: id, now: NIODeadline.now().uptimeNanoseconds)
        if !session.output.isEmpty { pumpSoon() }
    }

    /// Both ways of the stream are over, and all that came was handed on.
    func forget(_ id: StreamID) { entries[id] = nil }
}

/// The control stream's end.
private final class ControlEnd: StreamEnd {
    private unowned let link: LinkConnection
    private let id: StreamID
    private var reader = ControlReader()

    init(_ link: LinkConnection, _ id: StreamID) {
        self.link = link
        self.id = id
    }

    func received(_ payload: ByteBuffer) {
        var offset = 0
        do {
            while let message = try reader.read(payload.readableBytesSpan, &offset) { link.heard(message) }
        } catch {
            return link.fail(error)
        }
        link.consumed(payload.readableBytes, on: id)
    }

    func receivedAll() {}
    func mayReadOn(waiting: Int) {}
    func receivedEnd() { link.fail(LinkClosed()) }
    func receivedReset() { link.fail(LinkClosed()) }
}

/// A stream whose header is still read: the uplink's.
private final class HeaderEnd: StreamEnd {
    private unowned let link: LinkConnection
    private let id: StreamID
    private var reader = StreamHeaderReader()

    init(_ link: LinkConnection, _ id: StreamID) {
        self.link = link
        self.id = id
    }

    func received(_ payload: ByteBuffer) {
        var offset = 0
        let header: StreamHeader?
        do {
            header = try reader.read(payload.readableBytesSpan, &offset)
        } catch {
            return link.fail(error)
        }
        link.consumed(offset, on: id)
        guard let header else { return }
        guard let target = link.events.accept(link, header) else { return link.reset(id) }
        guard let loop = link.context?.eventLoop else { return }
        let end = target.connect(link, id, header.kind, on: loop)
        link.setEnd(end, of: id)
        var rest = payload
        rest.moveReaderIndex(forwardBy: offset)
        if rest.readableBytes > 0 { end.received(rest) }
    }

    func receivedAll() {}
    func mayReadOn(waiting: Int) {}
    func receivedEnd() { link.reset(id) }
    func receivedReset() {}
}
