import CLibssh2
import Glibc
import NetworkTypes
import Syscalls

/// Moves the bytes of all forwarded connections of one session, on its thread: like an OpenSSH client, by poll(2).
final class ForwardingLoop {
    private let session: Session
    private let way: SSHForwarding.Way
    private let failed: (String) -> Void
    private var connections: [ForwardedConnection] = []
    /// Accepted here, and not there yet: libssh2 opens one channel at a time.
    private var opening: Descriptor?
    /// Since when its channel is being opened; nil while none is.
    private var openingSince: ContinuousClock.Instant?
    /// The server is asked for a sign of life, and has not answered yet.
    private var isProbing = false
    /// The server's, freed with the session.
    private var listener: OpaquePointer?
    /// Of this side, where names are looked up once.
    private var target: [SocketAddress] = []
    private var scratch = [UInt8](repeating: 0, count: 64 << 10)

    /// Bytes of a channel's window. libssh2 grants it anew with a read, whatever is unread: so all that came is read at once, and only when
    /// what was read before is gone. Twice the window, and a read, is what a connection whose reader stops keeps here.
    private static let window: UInt32 = 256 << 10
    /// LIBSSH2_CHANNEL_WINDOW_DEFAULT, which libssh2 gives channels that the server opens.
    private static let serversWindow = 2 << 20
    private static let packet: UInt32 = 32_768
    /// What waits for the socket to the server, from which on nothing more is read here.
    static let mostOutgoing = 1 << 20
    /// Connections of the server that wait for this side: as many as there may be, for they come in batches.
    private static let queue = Int32(SSHForwarding.mostFromServer)
    /// For the server to open a channel, while it gives signs of life.
    private static let openingLimit = Duration.seconds(30)

    init(_ session: Session, _ way: SSHForwarding.Way, failed: @escaping (String) -> Void) {
        self.session = session
        self.way = way
        self.failed = failed
    }

    /// Until something ends the session.
    /// - Parameter ready: given the port that the server listens at; 0 where it does not.
    func run(ready: (UInt16) -> Void) throws(SSHError) -> Never {
        // What goes with the session is cut, and not ended.
        defer { for connection in connections { connection.giveUp() } }
        // From now on silence ends the session: a server that is frozen, or gone without a word, closes nothing.
        session.keepalivesWantReplies = false
        session.silentSince = .now
        ready(try begin())
        while true {
            try session.checkLimits(.idle)
            let received = session.wire.received
            pump()
            var isBusy = try takeNew()
            let isAnswered = try probe()
            isBusy = isBusy || isAnswered
            for connection in connections where try connection.step(session, &scratch) {
                isBusy = true
                if let failure = connection.failure { failed("the connection here broke: \(failure.reason)") }
            }
            let before = connections.count
            connections.removeAll(where: \.isOver)
            // Whatever reads takes in what is for others too, and those may have had their turn.
            isBusy = isBusy || session.wire.received != received
            if isBusy || connections.count != before { allow() } else { try wait() }
        }
    }

    private func begin() throws(SSHError) -> UInt16 {
        guard case .fromServer(let host, let port, let place) = way else { return 0 }
        target = try lookUp(place)
        var bound: Int32 = 0
        while true {
            listener = libssh2_channel_forward_listen_ex(session.handle, host, Int32(port), &bound, Self.queue)
            if listener != nil { return UInt16(clamping: bound == 0 ? Int32(port) : bound) }
            let code = libssh2_session_last_errno(session.handle)
            if code == LIBSSH2_ERROR_EAGAIN {
                try session.wait(.openingChannel)
            } else if code == LIBSSH2_ERROR_REQUEST_DENIED {
                throw session.endpoint.failure(.listeningRefused("\(host):\(port)"))
            } else {
                throw session.failure(.openingChannel, code: code)
            }
        }
    }

    private func lookUp(_ place: ForwardPlace) throws(SSHError) -> [SocketAddress] {
        do {
            switch place {
            case .socket(let path): return [try SocketAddress(unix: path)]
            case .port(let host, let port): return try addresses(of: host, port: port)
            }
        } catch let error as LookUpFailure {
            throw session.endpoint.failure(.nameUnresolvable("\(place): \(error.reason)"))
        } catch {
            throw session.endpoint.failure(.outOfResources("\(place): \(error)"))
        }
    }

    /// What the server may have under way is no flood.
    private func allow() {
        let window = if case .toServer = way { Int(Self.window) } else { Self.serversWindow }
        session.wire.allow(connections.count * 2 * (window + scratch.count))
    }

    /// Takes in what came for any channel, and grants nothing: a read of a channel that nobody reads would.
    private func pump() {
        guard let open = connections.first(where: { !$0.hasEnded }) else { return }
        _ = libssh2_channel_wait_eof(open.channel)
    }

    // MARK: new ones

    private func takeNew() throws(SSHError) -> Bool {
        switch way {
        case .toServer(let listener, let place): try takeLocal(listener, place)
        case .fromServer(_, _, let place): try takeServers(place)
        }
    }

    private func takeLocal(_ listener: Descriptor, _ place: ForwardPlace) throws(SSHError) -> Bool {
        if opening == nil, connections.count < SSHForwarding.mostToServer { opening = try? listener.accept() }
        guard let local = opening, !isProbing else { return false }
        let since = openingSince ?? .now
        openingSince = since
        if let channel = open(place) {
            (opening, openingSince) = (nil, nil)
            connections.append(ForwardedConnection(local, channel))
            allow()
            return true
        }
        let code = libssh2_session_last_errno(session.handle)
        if code == LIBSSH2_ERROR_EAGAIN {
            // A server that says nothing at all is judged by its silence.
            guard .now >= since + Self.openingLimit, session.wire.lastReceived > since else { return false }
            let words = "the server did not say within \(Self.openingLimit.components.seconds) s whether \(place) can be reached"
            throw session.endpoint.failure(.connectionLost(during: .openingChannel, words))
        }
        guard isTurnedDown(code) else { throw session.failure(.openingChannel, code: code) }
        failed("the server does not lead to \(place): \(session.lastErrorText); see what listens there, and sshd's log")
        local.resetOnClose()
        (opening, openingSince) = (nil, nil)
        return true
    }

    /// Whether the server let a channel not be opened, and the session is whole.
    private func isTurnedDown(_ code: Int32) -> Bool {
        code == LIBSSH2_ERROR_CHANNEL_FAILURE && session.wire.failure == nil && session.wire.farewell == nil
    }

    /// Nil where libssh2's last error says why.
    private func open(_ type: String, _ message: [UInt8]) -> OpaquePointer? {
        message.withUnsafeBytes {
            libssh2_channel_open_ex(
                session.handle, type, UInt32(type.utf8.count), Self.window, Self.packet,
                $0.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32($0.count))
        }
    }

    /// The same.
    private func open(_ place: ForwardPlace) -> OpaquePointer? {
        switch place {
        // RFC 4254, section 7.2. Whom it comes from is told to nobody.
        case .port(let host, let port):
            return open(
                "direct-tcpip",
                WireFormat.string(host) + WireFormat.uint32(UInt32(port.number)) + WireFormat.string("127.0.0.1")
                    + WireFormat.uint32(0))
        // PROTOCOL of OpenSSH, section 2.4: the path, and two fields for later.
        case .socket(let path):
            return open("direct-streamlocal@openssh.com", WireFormat.string(path) + WireFormat.string("") + WireFormat.uint32(0))
        }
    }

    // MARK: signs of life

    /// Asks the server for one when nothing came for a keepalive's interval: by a channel of a kind that no server knows, which it must turn
    /// down (RFC 4254, section 5.1). Of that nothing stays in libssh2, which keeps keepalives' replies for ever; and it reads where there is no
    /// channel to read from.
    /// - Returns: whether the server answered.
    private func probe() throws(SSHError) -> Bool {
        session.keepalivesWantReplies = openingSince != nil
        if !isProbing {
            if let openingSince {
                // What it waits for is an answer too.
                let end = openingSince + Self.openingLimit
                session.nextLook = .now < end ? end : nil
                return false
            }
            let due = session.wire.lastReceived + .seconds(session.timeouts.keepaliveSeconds)
            session.nextLook = due
            guard .now >= due else { return false }
            isProbing = true
        }
        session.nextLook = nil
        if let channel = open("sign-of-life@tidegate", []) {
            // Nobody is known who takes it.
            connections.append(ForwardedConnection(nil, channel))
        } else {
            let code = libssh2_session_last_errno(session.handle)
            if code == LIBSSH2_ERROR_EAGAIN { return false }
            guard isTurnedDown(code) else { throw session.failure(.idle, code: code) }
        }
        isProbing = false
        return true
    }

    private func takeServers(_ place: ForwardPlace) throws(SSHError) -> Bool {
        guard let listener, let channel = libssh2_channel_forward_accept(listener) else {
            let code = libssh2_session_last_errno(session.handle)
            if code == LIBSSH2_ERROR_EAGAIN || code == LIBSSH2_ERROR_CHANNEL_UNKNOWN { return false }
            throw session.failure(.idle, code: code)
        }
        let connection = ForwardedConnection(dial(place), channel)
        if connections.count >= SSHForwarding.mostFromServer { connection.giveUp() }
        connections.append(connection)
        allow()
        return true
    }

    /// Nil where there is no way there.
    private func dial(_ place: ForwardPlace) -> Descriptor? {
        var reason = "no address"
        for address in target {
            do throws(SystemFailure) {
                let local = try Descriptor.socket(address.family, isWaiting: false)
                try local.connect(to: address)
                return local
            } catch {
                reason = error.reason
            }
        }
        failed("connecting to \(place): \(reason)")
        return nil
    }

    // MARK: waiting

    private func wait() throws(SSHError) {
        var descriptors = connections.compactMap { $0.wish(isFull: session.wire.outboxCount > Self.mostOutgoing) }
        if case .toServer(let listener, _) = way, opening == nil, connections.count < SSHForwarding.mostToServer {
            descriptors.append(pollfd(fd: listener.number, events: Int16(POLLIN), revents: 0))
        }
        // Without a channel nobody reads but who asks for a sign of life.
        try session.wait(.idle, for: descriptors, reading: !connections.isEmpty || opening != nil || isProbing || listener != nil)
    }
}

/// One connection: a socket here, and a channel.
final class ForwardedConnection {
    let channel: OpaquePointer
    /// Nil where there is none any more.
    private var local: Descriptor?
    private var incoming: [UInt8] = []
    private var incomingStart = 0
    private var outgoing: [UInt8] = []
    private var outgoingStart = 0
    /// Nothing more comes from the channel.
    private(set) var hasEnded = false
    private var hasShutLocal = false
    private var hasLocalEnded = false
    private var hasSentEnd = false
    private var isGivenUp = false
    /// Whether the channel is freed.
    private(set) var isOver = false
    /// Why the socket broke, told once.
    var failure: SystemFailure? {
        defer { untold = nil }
        return untold
    }
    private var untold: SystemFailure?

    init(_ local: Descriptor?, _ channel: OpaquePointer) {
        self.local = local
        self.channel = channel
        isGivenUp = local == nil
    }

    /// Ends it at once.
    func giveUp() {
        local?.resetOnClose()
        local = nil
        isGivenUp = true
    }

    private func broke(_ failure: SystemFailure) {
        // Who goes away without a word is no news.
        if failure.code != ECONNRESET, failure.code != EPIPE { untold = failure }
        giveUp()
    }

    /// What is waited for at the socket; nil for nothing.
    func wish(isFull: Bool) -> pollfd? {
        guard let local else { return nil }
        let reads = !hasLocalEnded && outgoing.isEmpty && !isFull
        let events = (reads ? POLLIN : 0) | (incoming.isEmpty ? 0 : POLLOUT)
        return events == 0 ? nil : pollfd(fd: local.number, events: Int16(events), revents: 0)
    }

    /// - Returns: whether anything moved.
    func step(_ session: Session, _ scratch: inout [UInt8]) throws(SSHError) -> Bool {
        if isOver { return false }
        if isGivenUp || hasShutLocal && hasSentEnd { return try close(session) }
        let inward = try bringIn(session, &scratch)
        let outward = try takeOut(session, &scratch)
        return inward || outward
    }

    private func bringIn(_ session: Session, _ scratch: inout [UInt8]) throws(SSHError) -> Bool {
        var isBusy = false
        if incoming.isEmpty, !hasEnded {
            while true {
                let count = scratch.withUnsafeMutableBytes {
                    libssh2_channel_read_ex(channel, 0, $0.baseAddress?.assumingMemoryBound(to: CChar.self), $0.count)
                }
                if count == Int(LIBSSH2_ERROR_EAGAIN) { break }
                if count < 0 { throw session.failure(.idle, code: Int32(count)) }
                if count == 0 {
                    hasEnded = libssh2_channel_eof(channel) == 1
                    isBusy = isBusy || hasEnded
                    break
                }
                session.wire.giveBack(count)
                incoming.append(contentsOf: scratch[..<count])
                isBusy = true
            }
        }
        guard let local else { return isBusy }
        if !incoming.isEmpty {
            do throws(SystemFailure) {
                let sent = try incoming.withUnsafeBytes { bytes in
                    Result { () throws(SystemFailure) in
                        try local.send(UnsafeRawBufferPointer(rebasing: bytes[incomingStart...]))
                    }
                }.get()
                incomingStart += sent
                isBusy = isBusy || sent > 0
            } catch {
                broke(error)
                return true
            }
            if incomingStart == incoming.count {
                incoming.removeAll(keepingCapacity: incoming.count <= scratch.count)
                incomingStart = 0
            }
        }
        if hasEnded, incoming.isEmpty, !hasShutLocal {
            shutdown(local.number, Int32(SHUT_WR))
            hasShutLocal = true
            isBusy = true
        }
        return isBusy
    }

    private func takeOut(_ session: Session, _ scratch: inout [UInt8]) throws(SSHError) -> Bool {
        var isBusy = false
        if let local, outgoing.isEmpty, !hasLocalEnded, session.wire.outboxCount <= ForwardingLoop.mostOutgoing {
            do throws(SystemFailure) {
                if let count = try local.receive(into: &scratch) {
                    outgoing.append(contentsOf: scratch[..<count])
                    hasLocalEnded = count == 0
                    isBusy = true
                }
            } catch {
                broke(error)
                return true
            }
        }
        while outgoingStart < outgoing.count {
            let count = outgoing.withUnsafeBytes { bytes in
                libssh2_channel_write_ex(
                    channel, 0, bytes.baseAddress?.advanced(by: outgoingStart).assumingMemoryBound(to: CChar.self),
                    bytes.count - outgoingStart)
            }
            if count == Int(LIBSSH2_ERROR_EAGAIN) || count == 0 { break }
            if count < 0 {
                // The server has closed it.
                guard session.isCut(Int32(count)) else {
                    giveUp()
                    return true
                }
                throw session.failure(.idle, code: Int32(count))
            }
            outgoingStart += count
            isBusy = true
        }
        if outgoingStart == outgoing.count {
            outgoing.removeAll(keepingCapacity: true)
            outgoingStart = 0
        }
        if hasLocalEnded, outgoing.isEmpty, !hasSentEnd {
            let code = libssh2_channel_send_eof(channel)
            hasSentEnd = code != LIBSSH2_ERROR_EAGAIN
            isBusy = isBusy || hasSentEnd
        }
        return isBusy
    }

    /// The server answers a close with its own; until then libssh2 keeps the channel.
    private func close(_ session: Session) throws(SSHError) -> Bool {
        local = nil
        let code = libssh2_channel_free(channel)
        if code == LIBSSH2_ERROR_EAGAIN { return false }
        if code < 0, session.isCut(code) { throw session.failure(.idle, code: code) }
        isOver = true
        return true
    }
}
