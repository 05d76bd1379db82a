import CLibssh2
import Glibc
import NetworkTypes

/// A command as it is handed to the connection's thread.
struct ExecRequest: Sendable {
    let command: RemoteCommand
    /// What errors call it.
    let name: String
    let input: ByteSource
    let ready: ReadyMark?
    let limits: ExecLimits
    /// Nil to collect the output.
    let onOutput: (@Sendable (ExecOutput) -> Void)?
}

extension Session {
    /// Runs a command to its end. Any error but `channelRefused` leaves the session in an unknown state: it is to go.
    func execute(_ request: ExecRequest) throws(SSHError) -> ExecResult {
        let started = ContinuousClock.now
        silentSince = started
        if let timeout = request.limits.timeout {
            commandDeadline = (started + timeout, .commandTimedOut(command: request.name, after: timeout))
        }
        wire.statistics.update { $0.execs += 1 }
        defer {
            silentSince = nil
            commandDeadline = nil
            nextLook = nil
            wire.statistics.update { $0.execTime += .now - started }
        }
        let channel = try start(request)
        // Freed on success only: with an error the session goes, and its channels with it.
        var exchange = Exchange(session: self, channel: channel, request: request, started: started)
        let result = try exchange.run()
        try free(channel, .running(command: request.name))
        wantsSpareChannel = true
        hasUsedStack = true
        return result
    }

    /// What the connection does between two commands: opens the next channel and looks after the session.
    func idle() throws(SSHError) {
        if let spare = spareChannel {
            var byte: CChar = 0
            // Nothing comes on a channel without a command; reading handles what comes for the session itself.
            let count = libssh2_channel_read_ex(spare, 0, &byte, 1)
            if count < 0 && count != Int(LIBSSH2_ERROR_EAGAIN) { throw failure(.idle, code: Int32(count)) }
            if count >= 0 {
                // The server closed it, as OpenSSH's ChannelTimeout does. No other is opened before it is needed.
                spareChannel = nil
                try free(spare, .idle)
            }
        } else if isOpeningChannel || wantsSpareChannel {
            wantsSpareChannel = false
            switch openChannel() {
            case .opened(let channel): spareChannel = channel
            case .pending: break
            case .refused:
                if wire.failure != nil { throw failure(.idle, code: LIBSSH2_ERROR_SOCKET_DISCONNECT) }
            }
            // What came in may have ended more than this: look again before waiting.
            if spareChannel != nil { return }
        }
        if wire.failure != nil { throw failure(.idle, code: LIBSSH2_ERROR_SOCKET_DISCONNECT) }
        if hasUsedStack, !isOpeningChannel {
            hasUsedStack = false
            tidegate_release_stack()
        }
        try wait(.idle)
    }

    // MARK: channels

    private enum Opening {
        case opened(OpaquePointer)
        case pending
        /// libssh2's code.
        case refused(Int32)
    }

    /// LIBSSH2_CHANNEL_WINDOW_DEFAULT and LIBSSH2_CHANNEL_PACKET_DEFAULT, for what the server sends.
    private static let channelWindow: UInt32 = 2 << 20
    private static let channelPacket: UInt32 = 32768

    private func openChannel() -> Opening {
        isOpeningChannel = true
        if let channel = libssh2_channel_open_ex(
            handle, "session", 7, Self.channelWindow, Self.channelPacket, nil, 0)
        {
            isOpeningChannel = false
            return .opened(channel)
        }
        let code = libssh2_session_last_errno(handle)
        if code == LIBSSH2_ERROR_EAGAIN { return .pending }
        isOpeningChannel = false
        return .refused(code)
    }

    /// A channel on which the command was started.
    private func start(_ exec: ExecRequest) throws(SSHError) -> OpaquePointer {
        let step = SSHError.Step.running(command: exec.name)
        if let spare = spareChannel {
            spareChannel = nil
            if try request(exec, on: spare) { return spare }
            // The server had closed it before the command came; nothing was run.
            try free(spare, step)
        }
        var attempts = 3
        while true {
            switch openChannel() {
            case .pending: try wait(.openingChannel)
            case .refused(LIBSSH2_ERROR_CHANNEL_FAILURE) where wire.failure == nil && attempts > 1:
                // OpenSSH counts a channel just closed against MaxSessions until its next turn.
                attempts -= 1
                usleep(20000)
            case .refused(let code):
                guard wire.failure == nil, code == LIBSSH2_ERROR_CHANNEL_FAILURE else {
                    throw failure(.openingChannel, code: code)
                }
                throw endpoint.failure(.channelRefused(command: exec.name, lastErrorText))
            case .opened(let channel):
                if try request(exec, on: channel) { return channel }
                try free(channel, step)
                throw endpoint.failure(.channelRefused(command: exec.name, "it closed the channel"))
            }
        }
    }

    /// - Returns: false when the server closed the channel instead of answering.
    private func request(_ exec: ExecRequest, on channel: OpaquePointer) throws(SSHError) -> Bool {
        let step = SSHError.Step.running(command: exec.name)
        let command = exec.command.description
        while true {
            let code = libssh2_channel_process_startup(channel, "exec", 4, command, UInt32(command.utf8.count))
            if code == 0 { return true }
            if code == LIBSSH2_ERROR_CHANNEL_REQUEST_DENIED {
                try free(channel, step)
                throw endpoint.failure(.channelRefused(command: exec.name, "it refused the request"))
            }
            guard code == LIBSSH2_ERROR_EAGAIN else { throw failure(step, code: code) }
            if libssh2_channel_eof(channel) == 1 { return false }
            try wait(step)
        }
    }

    private func free(_ channel: OpaquePointer, _ step: SSHError.Step) throws(SSHError) {
        try check(step) { _ in libssh2_channel_free(channel) }
    }
}

/// The exchange with a running command: input out, output in, until the server closes the channel.
private struct Exchange: ~Copyable {
    let session: Session
    let channel: OpaquePointer
    let request: ExecRequest
    private let step: SSHError.Step
    private var source: ByteSourceReader
    private var buffer: InputBuffer
    private var inputBytesSent = 0
    private var isInputDone = false
    private var standardOutput: [UInt8] = []
    private var standardError: [UInt8] = []
    /// What has not come yet; nil when the input may be sent.
    private var awaited: (mark: [UInt8], until: ContinuousClock.Instant)?
    /// Bytes of output in which it does not begin.
    private var searched = 0

    /// Bytes read from the source at once: several of the 32,700 that libssh2 puts in a packet.
    private static let inputSize = 256 << 10
    /// Bytes that may wait for the socket before more is encrypted.
    private static let outboxTarget = 256 << 10

    init(session: Session, channel: OpaquePointer, request: ExecRequest, started: ContinuousClock.Instant) {
        self.session = session
        self.channel = channel
        self.request = request
        step = .running(command: request.name)
        awaited = request.ready.map { (Array($0.text.utf8), started + $0.within) }
        session.nextLook = awaited?.until
        source = ByteSourceReader(request.input)
        buffer = InputBuffer(count: request.input.pieces.isEmpty ? 0 : Self.inputSize)
    }

    mutating func run() throws(SSHError) -> ExecResult {
        while true {
            try session.checkLimits(step)
            let received = session.wire.lastReceived
            var progressed = try readOutput()
            try lookForMark()
            // End of file on all output, then the close that follows the exit status.
            if libssh2_channel_eof(channel) == 1, libssh2_channel_wait_closed(channel) == 0 { break }
            if try writeInput() { progressed = true }
            // What libssh2 took off the socket in any call may be what another waits for.
            if !progressed && session.wire.lastReceived == received {
                if session.wire.failure != nil { throw session.failure(step, code: LIBSSH2_ERROR_SOCKET_DISCONNECT) }
                try session.wait(step)
            }
        }
        let signal = exitSignal()
        return ExecResult(
            status: signal == nil ? libssh2_channel_get_exit_status(channel) : nil, signal: signal,
            standardOutput: standardOutput, standardError: standardError, inputBytesSent: inputBytesSent)
    }

    private mutating func lookForMark() throws(SSHError) {
        guard let (mark, until) = awaited else { return }
        if standardOutput[searched...].range(of: mark) != nil {
            awaited = nil
            session.nextLook = nil
            return
        }
        searched = max(searched, standardOutput.count - mark.count + 1)
        if ContinuousClock.now >= until, let ready = request.ready {
            let said = (standardOutput + standardError).prefix(600)
            throw session.endpoint.failure(
                .notReady(
                    command: request.name, after: ready.within, said: printable(String(decoding: said, as: UTF8.self), limit: 300)
                ))
        }
    }

    private func exitSignal() -> String? {
        var name: UnsafeMutablePointer<CChar>?
        var length = 0
        libssh2_channel_get_exit_signal(channel, &name, &length, nil, nil, nil, nil)
        guard let name else { return nil }
        defer { libssh2_free(session.handle, name) }
        return printable(String(cString: name), limit: 32)
    }

    private mutating func readOutput() throws(SSHError) -> Bool {
        let some = try read(stream: 0) { exchange, bytes in
            if let onOutput = exchange.request.onOutput { return onOutput(.standardOutput(Array(bytes))) }
            exchange.standardOutput.append(contentsOf: bytes)
        }
        let more = try read(stream: SSH_EXTENDED_DATA_STDERR) { exchange, bytes in
            if let onOutput = exchange.request.onOutput { return onOutput(.standardError(Array(bytes))) }
            exchange.standardError.append(contentsOf: bytes)
        }
        return some || more
    }

    private mutating func read(
        stream: Int32, _ take: (inout Exchange, UnsafeRawBufferPointer) -> Void
    ) throws(SSHError) -> Bool {
        let count = withUnsafeTemporaryAllocation(byteCount: 32 << 10, alignment: 16) { chunk in
            let count = libssh2_channel_read_ex(
                channel, stream, chunk.baseAddress?.assumingMemoryBound(to: CChar.self), chunk.count)
            if count > 0 {
                session.wire.giveBack(count)
                take(&self, UnsafeRawBufferPointer(rebasing: chunk[..<count]))
            }
            return count
        }
        if count < 0 && count != Int(LIBSSH2_ERROR_EAGAIN) { throw session.failure(step, code: Int32(count)) }
        if standardOutput.count > request.limits.output || standardError.count > request.limits.output {
            throw session.endpoint.failure(
                .outputTooLarge(command: request.name, limit: request.limits.output))
        }
        return count > 0
    }

    /// - Returns: whether anything was done.
    private mutating func writeInput() throws(SSHError) -> Bool {
        if awaited != nil || isInputDone || session.wire.outboxCount >= Self.outboxTarget { return false }
        if buffer.isEmpty {
            let count: Int
            do { count = try source.read(into: buffer.whole) } catch {
                throw session.endpoint.failure(.inputFailed(command: request.name, error.reason))
            }
            buffer.filled(count)
        }
        if buffer.isEmpty {
            let code = libssh2_channel_send_eof(channel)
            if code == LIBSSH2_ERROR_EAGAIN { return false }
            if code != 0 { throw session.failure(step, code: code) }
            isInputDone = true
            return true
        }
        let rest = buffer.rest
        let count = libssh2_channel_write_ex(
            channel, 0, rest.baseAddress?.assumingMemoryBound(to: CChar.self), rest.count)
        if count == Int(LIBSSH2_ERROR_EAGAIN) { return false }
        if count < 0 { throw session.failure(step, code: Int32(count)) }
        buffer.drop(count)
        inputBytesSent += count
        return count > 0
    }
}
