import CLibssh2
import Glibc
import NetworkTypes
import Syscalls

/// One libssh2 session over one socket. It lives and dies on the connection's thread, whose calls may block.
///
/// This file holds what every part needs: the session's owner, the one way libssh2 is called, the one way it waits, and
/// what its errors mean.
final class Session {
    /// Another thread wants this one to stop what it does.
    enum Interruption { case cancelled, closing }

    let endpoint: Endpoint
    let timeouts: SSHTimeouts
    let wire: Wire
    /// Freed in `deinit`.
    let handle: OpaquePointer
    /// What libssh2's callbacks are given; freed after the session.
    private let context: UnsafeMutablePointer<tidegate_ssh_context>
    let algorithms: Algorithms
    private let interruption: () -> Interruption?
    /// What another connection may still try where the server hung up on this one.
    var untried: SSHCredentials?

    /// Opened ahead of the next command, so that this costs no round trip then.
    var spareChannel: OpaquePointer?
    /// Whether `libssh2_channel_open_ex` has been called and not yet ended; libssh2 opens one channel at a time.
    var isOpeningChannel = false
    var wantsSpareChannel = true
    /// Whether a login or a command has used the stack since it was released.
    var hasUsedStack = true
    /// Nil while no command runs.
    var commandDeadline: (instant: ContinuousClock.Instant, reason: SSHError.Reason)?
    /// When a command, or a forwarding, is to be looked at again, whatever comes; nil for no such time.
    var nextLook: ContinuousClock.Instant?
    /// Nil while nothing is expected from the peer.
    var silentSince: ContinuousClock.Instant?
    /// Whether keepalives want replies while something is expected; false where the peer is asked by other means.
    var keepalivesWantReplies = true
    private var nextKeepalive = ContinuousClock.Instant.now

    /// - Parameter pinnedKeyTypes: host key types to ask the server for first.
    init(
        wire: Wire, endpoint: Endpoint, timeouts: SSHTimeouts, pinnedKeyTypes: [String],
        interruption: @escaping () -> Interruption?
    ) throws(SSHError) {
        guard libraryStart == 0 else { throw endpoint.failure(.outOfResources("libssh2_init: \(libraryStart)")) }
        // The context holds the wire's address; `deinit` frees the session before the wire goes.
        let context = UnsafeMutablePointer<tidegate_ssh_context>.allocate(capacity: 1)
        context.initialize(to: tidegate_ssh_context(wire: Unmanaged.passUnretained(wire).toOpaque(), held: 0))
        guard let handle = tidegate_ssh_session_new(context, receiveBytes, sendBytes, noteDisconnect) else {
            context.deallocate()
            throw endpoint.failure(.outOfResources("no memory for an SSH session"))
        }
        self.handle = handle
        self.context = context
        wire.held = { context.pointee.held }
        self.wire = wire
        self.endpoint = endpoint
        self.timeouts = timeouts
        self.interruption = interruption
        algorithms = Algorithms(supportedBy: handle, pinnedKeyTypes: pinnedKeyTypes)
    }

    deinit {
        // With the wire shut nothing waits, so this ends; libssh2 frees the channels along.
        wire.shutDown()
        while libssh2_session_free(handle) == LIBSSH2_ERROR_EAGAIN {}
        wire.held = { 0 }
        context.deallocate()
    }

    /// Tells the peer, if it can be told at once.
    func disconnect() {
        // SSH_DISCONNECT_BY_APPLICATION of RFC 4253, section 11.1.
        if wire.failure == nil { libssh2_session_disconnect_ex(handle, 11, "closed by tidegate", "") }
        wire.shutDown()
    }

    // MARK: the one way to call

    /// Calls libssh2 until it no longer says it would block.
    /// - Returns: what it returned in the end: an error of its own is the caller's to judge.
    func call(_ step: SSHError.Step, _ body: (OpaquePointer) -> Int32) throws(SSHError) -> Int32 {
        while true {
            let code = body(handle)
            if code != LIBSSH2_ERROR_EAGAIN { return code }
            try wait(step)
        }
    }

    /// As `call`, and every error is final.
    func check(_ step: SSHError.Step, _ body: (OpaquePointer) -> Int32) throws(SSHError) {
        let code = try call(step, body)
        if code != 0 { throw failure(step, code: code) }
    }

    // MARK: the one way to wait

    /// Waits for the peer, or this side, or one of `others`, to make progress.
    /// - Parameter reading: whether what the peer sends is read by who called; nil for as it is with commands.
    /// - Throws: as `checkLimits`.
    func wait(_ step: SSHError.Step, for others: [pollfd] = [], reading: Bool? = nil) throws(SSHError) {
        try checkLimits(step)
        let idleEnd = silentSince.map { max($0, wire.lastReceived) + timeouts.idle }
        let limit = [commandDeadline?.instant, nextLook, wire.deadline, idleEnd].compactMap { $0 }.min()
        let mayKeepAlive = wire.deadline == nil
        let until = [limit, mayKeepAlive ? nextKeepalive : nil].compactMap { $0 }.min() ?? (.now + timeouts.idle)
        let readsWhileIdle = spareChannel != nil || isOpeningChannel
        do {
            _ = try wire.wait(until: until, reading: reading ?? (step != .idle || readsWhileIdle), others: others)
        } catch {
            throw endpoint.failure(.outOfResources("poll: \(errnoText(error.code))"))
        }
        try checkLimits(step)
        let now = ContinuousClock.now
        if mayKeepAlive, now >= nextKeepalive { try keepAlive(step, now: now) }
    }

    /// - Throws: when another thread wants this one to stop, or something took too long. Who loops without waiting calls
    ///   this in each round.
    func checkLimits(_ step: SSHError.Step) throws(SSHError) {
        wire.renewReadBudget()
        switch interruption() {
        case .cancelled: throw endpoint.failure(.cancelled(during: step))
        case .closing: throw endpoint.failure(.closed)
        case nil: break
        }
        let now = ContinuousClock.now
        if let commandDeadline, now >= commandDeadline.instant { throw endpoint.failure(commandDeadline.reason) }
        if let deadline = wire.deadline, now >= deadline { throw endpoint.failure(timeout(step)) }
        if let since = silentSince, now >= max(since, wire.lastReceived) + timeouts.idle {
            throw endpoint.failure(.idleTimedOut(during: step, after: timeouts.idle))
        }
    }

    /// A reply is wanted only while a command runs, or a forwarding's channel is opened: libssh2 1.10 keeps each one for ever,
    /// and between commands TCP itself notices a peer that is gone (`TCP_USER_TIMEOUT`).
    private func keepAlive(_ step: SSHError.Step, now: ContinuousClock.Instant) throws(SSHError) {
        let interval = timeouts.keepaliveSeconds
        nextKeepalive = now + .seconds(interval)
        // What waits already asks the peer for a sign of life.
        guard wire.outboxCount == 0 else { return }
        libssh2_keepalive_config(handle, silentSince != nil && keepalivesWantReplies ? 1 : 0, UInt32(clamping: interval))
        var untilNext: Int32 = 0
        let code = libssh2_keepalive_send(handle, &untilNext)
        if code != 0 && code != LIBSSH2_ERROR_EAGAIN { throw failure(step, code: code) }
        // libssh2 counts in whole seconds of the wall clock, which may jump.
        if untilNext > 0 { nextKeepalive = now + .seconds(min(Int64(untilNext), interval)) }
    }

    /// Keepalives start now, and the clocks of the handshake are over.
    func beginService() {
        wire.deadline = nil
        wire.greeting = nil
        nextKeepalive = .now + .seconds(timeouts.keepaliveSeconds)
    }

    // MARK: what errors mean

    func failure(_ step: SSHError.Step, code: Int32) -> SSHError {
        switch wire.failure {
        case .deadline: return endpoint.failure(timeout(step))
        case .closedByPeer:
            return endpoint.failure(closed(step, wire.farewell ?? "the peer closed the connection"))
        case .system(let code): return endpoint.failure(closed(step, wire.farewell ?? errnoText(code)))
        case .flood:
            return endpoint.failure(.excess(during: step, "sent more than \(Wire.freeBytes >> 20) MiB that nobody asked for"))
        case .hoard:
            let limit = "more than \(Wire.heldLimit >> 20) MiB"
            return endpoint.failure(.excess(during: step, "made this side keep \(limit) of packets that nobody asked for"))
        case nil: break
        }
        if code == LIBSSH2_ERROR_SOCKET_DISCONNECT {
            return endpoint.failure(closed(step, wire.farewell ?? "the peer ended the session"))
        }
        if step == .handshake, let greeting = wire.greeting.map(ServerGreeting.init(reading:)) {
            if greeting.identification == nil { return endpoint.failure(.notSSH(greeting.service)) }
            if let proposal = greeting.proposal, let mismatch = algorithms.mismatch(with: proposal) {
                return endpoint.failure(mismatch)
            }
        }
        return endpoint.failure(.protocolFailure(during: step, code: code, lastErrorText))
    }

    /// libssh2's words for its last error; they may repeat what the peer said.
    var lastErrorText: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(handle, &text, &length, 0)
        return text.map { printable(String(cString: $0), limit: 200) } ?? ""
    }

    /// Whether the peer ended the session, whatever libssh2 made of that.
    func isCut(_ code: Int32) -> Bool {
        wire.failure != nil || wire.farewell != nil
            || [LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_RECV, LIBSSH2_ERROR_SOCKET_SEND].contains(code)
    }

    private func closed(_ step: SSHError.Step, _ detail: String) -> SSHError.Reason {
        if step == .handshake, let greeting = wire.greeting.map(ServerGreeting.init(reading:)),
            greeting.identification == nil
        {
            return .notSSH(greeting.service)
        }
        return .connectionLost(during: step, detail)
    }

    private func timeout(_ step: SSHError.Step) -> SSHError.Reason {
        guard step == .handshake else { return .authenticationTimedOut(after: timeouts.connect) }
        let bytes = wire.greeting ?? []
        let greeting = ServerGreeting(reading: bytes)
        if greeting.identification == nil && !bytes.isEmpty { return .notSSH(greeting.service) }
        let heard: SSHError.Heard = bytes.isEmpty ? .nothing : greeting.proposal == nil ? .greeting : .keyExchange
        return .handshakeTimedOut(after: timeouts.connect, heard: heard)
    }
}

/// Which server, as which user: what every error says.
struct Endpoint: Sendable {
    let user: String
    let host: HostAddress
    let port: Port

    func failure(_ reason: SSHError.Reason) -> SSHError { SSHError(user: user, host: host, port: port, reason: reason) }
}

/// libssh2_init(3) once, whoever comes first.
let libraryStart: Int32 = tidegate_ssh_start()

// MARK: libssh2's callbacks; `abstract` points at the pointer to the wire

func wire(_ abstract: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Wire? {
    let context = abstract?.pointee?.assumingMemoryBound(to: tidegate_ssh_context.self)
    return context?.pointee.wire.map { Unmanaged<Wire>.fromOpaque($0).takeUnretainedValue() }
}

private let receiveBytes: tidegate_ssh_receive = { _, buffer, count, _, abstract in
    guard let wire = wire(abstract), let buffer else { return -Int(EINVAL) }
    return wire.receive(into: UnsafeMutableRawBufferPointer(start: buffer, count: count))
}

private let sendBytes: tidegate_ssh_send = { _, buffer, count, _, abstract in
    guard let wire = wire(abstract), let buffer else { return -Int(EINVAL) }
    return wire.send(UnsafeRawBufferPointer(start: buffer, count: count))
}

private let noteDisconnect: tidegate_ssh_disconnect = { _, reason, message, count, _, _, abstract in
    let bytes = UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : Int(max(0, count)))
    wire(abstract)?.farewell =
        "the peer ended the session: \"\(printable(String(decoding: bytes, as: UTF8.self)))\" (reason \(reason))"
}
