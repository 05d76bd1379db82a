import CLibssh2
import Glibc
public import NetworkTypes
public import Sodium

/// A channel to a unix socket of an SSH server's host, over bytes that others carry: it opens no connection and never waits.
///
/// What the server sent goes in by `take`, what is for it comes out by `takeOutput`. After either `advance` goes as far as it can. One
/// thread at a time.
public final class SocketTunnel {
    /// What the tunnel leads to.
    public struct Target: Sendable {
        public var user: String
        /// Absolute; a server's own view of its files.
        public var socket: String
        /// The only one that is believed.
        public var hostKey: HostKey
        /// For errors.
        public var host: HostAddress
        public var port: Port

        public init(user: String, socket: String, hostKey: HostKey, host: HostAddress, port: Port) {
            self.user = user
            self.socket = socket
            self.hostKey = hostKey
            self.host = host
            self.port = port
        }
    }

    public enum Stage: Equatable, Sendable {
        /// More of the server's bytes are wanted.
        case opening
        /// Bytes come and go.
        case open
        /// The server's side of the socket has ended; nothing more comes.
        case ended
    }

    private enum Step { case handshake, login, channel, open }

    private let target: Target
    private let endpoint: Endpoint
    private let key: LinkPrivateKey
    private let handle: OpaquePointer
    private let algorithms: Algorithms
    private let pipe: Pipe
    /// What libssh2's callbacks are given; freed after the session.
    private let context: UnsafeMutablePointer<tidegate_ssh_context>
    /// The same of the callback that signs.
    private let signer: UnsafeMutablePointer<UnsafeMutableRawPointer?>
    private let request: [UInt8]
    private var step = Step.handshake
    private var channel: OpaquePointer?

    private static let channelType = "direct-streamlocal@openssh.com"
    /// LIBSSH2_CHANNEL_WINDOW_DEFAULT and LIBSSH2_CHANNEL_PACKET_DEFAULT, for what the server sends. OpenSSH grants as much.
    private static let window: UInt32 = 2 << 20
    private static let packet: UInt32 = 32_768
    /// No socket: libssh2 asks a number for its flags, and leaves alone what has none.
    private static let noSocket = Int32.max

    /// - Parameter key: by which the user is known; libssh2 never sees it.
    public init(_ target: Target, key: LinkPrivateKey) throws(SSHError) {
        self.target = target
        self.key = key
        endpoint = Endpoint(user: target.user, host: target.host, port: target.port)
        guard libraryStart == 0 else { throw endpoint.failure(.outOfResources("libssh2_init: \(libraryStart)")) }
        pipe = Pipe()
        // The context holds the pipe's address; `deinit` frees the session before the pipe goes.
        let context = UnsafeMutablePointer<tidegate_ssh_context>.allocate(capacity: 1)
        context.initialize(to: tidegate_ssh_context(wire: Unmanaged.passUnretained(pipe).toOpaque(), held: 0))
        guard let handle = tidegate_ssh_session_new(context, receivePiped, sendPiped, notePipedDisconnect) else {
            context.deallocate()
            throw endpoint.failure(.outOfResources("no memory for an SSH session"))
        }
        self.context = context
        self.handle = handle
        pipe.held = { context.pointee.held }
        algorithms = Algorithms(supportedBy: handle, pinnedKeyTypes: [target.hostKey.type])
        // PROTOCOL of OpenSSH, section 2.4: the path, and two fields for later.
        request = WireFormat.string(target.socket) + WireFormat.string("") + WireFormat.uint32(0)
        signer = .allocate(capacity: 1)
        signer.initialize(to: nil)
        signer.pointee = Unmanaged.passUnretained(self).toOpaque()
        let code = algorithms.apply(to: handle)
        if code != 0 { throw failure(.connecting, code: code) }
    }

    deinit {
        // With the pipe shut nothing waits, so this ends; libssh2 frees the channel along.
        pipe.isShut = true
        while libssh2_session_free(handle) == LIBSSH2_ERROR_EAGAIN {}
        pipe.held = { 0 }
        context.deallocate()
        signer.deallocate()
    }

    // MARK: the server's side

    /// What the server sent.
    public func take(_ bytes: UnsafeRawBufferPointer) { pipe.append(bytes) }

    /// Hands what is for the server to `body`, once; not at all while there is nothing.
    public func takeOutput(_ body: (UnsafeRawBufferPointer) -> Void) {
        guard !pipe.output.isEmpty else { return }
        pipe.output.withUnsafeBytes(body)
        pipe.output.removeAll(keepingCapacity: pipe.output.count <= Pipe.keptOutput)
    }

    // MARK: this side

    /// Goes on as far as the server's bytes allow.
    /// - Throws: `SSHError`; the tunnel is over then.
    public func advance() throws(SSHError) -> Stage {
        while true {
            switch step {
            case .handshake:
                guard try isDone(.handshake, libssh2_session_handshake(handle, Self.noSocket)) else { return .opening }
                try checkHostKey()
                step = .login
            case .login:
                guard try logIn() else { return .opening }
                step = .channel
            case .channel:
                guard try openChannel() else { return .opening }
                pipe.greeting = nil
                step = .open
            case .open:
                if let channel, libssh2_channel_eof(channel) == 1 { return .ended }
                return .open
            }
        }
    }

    /// Bytes of the socket into `buffer`; 0 when there are none now.
    public func read(into buffer: UnsafeMutableRawBufferPointer) throws(SSHError) -> Int {
        guard let channel else { return 0 }
        let count = libssh2_channel_read_ex(channel, 0, buffer.baseAddress?.assumingMemoryBound(to: CChar.self), buffer.count)
        if count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) { throw failure(.idle, code: Int32(count)) }
        return max(0, count)
    }

    /// Sends bytes to the socket.
    /// - Returns: how many were taken; 0 while the server's window is full.
    public func write(_ bytes: UnsafeRawBufferPointer) throws(SSHError) -> Int {
        guard let channel, !bytes.isEmpty else { return 0 }
        let count = libssh2_channel_write_ex(channel, 0, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        if count < 0, count != Int(LIBSSH2_ERROR_EAGAIN) { throw failure(.idle, code: Int32(count)) }
        return max(0, count)
    }

    /// Tells the server; the words are in the output then.
    public func disconnect() {
        guard !pipe.isShut else { return }
        // SSH_DISCONNECT_BY_APPLICATION of RFC 4253, section 11.1.
        libssh2_session_disconnect_ex(handle, 11, "closed by tidegate", "")
        pipe.isShut = true
    }

    // MARK: opening

    private func isDone(_ step: SSHError.Step, _ code: Int32) throws(SSHError) -> Bool {
        if code == LIBSSH2_ERROR_EAGAIN { return false }
        if code != 0 { throw failure(step, code: code) }
        return true
    }

    private func checkHostKey() throws(SSHError) {
        var length = 0
        var type: Int32 = 0
        guard let bytes = libssh2_session_hostkey(handle, &length, &type),
            let shown = HostKey(blob: Array(UnsafeRawBufferPointer(start: bytes, count: length)))
        else { throw endpoint.failure(.protocolFailure(during: .handshake, code: 0, "the server showed no host key")) }
        guard shown == target.hostKey else {
            throw endpoint.failure(
                .hostKeyChanged(
                    shown, lineToAdd: shown.knownHostsLine(host: target.host, port: target.port),
                    pinned: [KnownHosts.PinnedKey(key: target.hostKey, line: 1)]))
        }
    }

    private func logIn() throws(SSHError) -> Bool {
        let blob = key.sshPublicKey.blob
        let code = libssh2_userauth_publickey(handle, target.user, blob, blob.count, signLogin, signer)
        if code == LIBSSH2_ERROR_AUTHENTICATION_FAILED || code == LIBSSH2_ERROR_PUBLICKEY_UNVERIFIED, pipe.farewell == nil,
            !pipe.isBroken
        {
            throw endpoint.failure(.authenticationRefused(tried: ["publickey"], offered: nil, hints: []))
        }
        return try isDone(.authentication, code)
    }

    private func openChannel() throws(SSHError) -> Bool {
        channel = request.withUnsafeBytes { message in
            libssh2_channel_open_ex(
                handle, Self.channelType, UInt32(Self.channelType.utf8.count), Self.window, Self.packet,
                message.baseAddress?.assumingMemoryBound(to: CChar.self), UInt32(message.count))
        }
        if channel != nil { return true }
        let code = libssh2_session_last_errno(handle)
        if code == LIBSSH2_ERROR_CHANNEL_FAILURE, pipe.farewell == nil, !pipe.isBroken {
            throw endpoint.failure(.channelRefused(command: target.socket, lastErrorText))
        }
        return try isDone(.openingChannel, code)
    }

    fileprivate func signature(of bytes: [UInt8]) -> [UInt8] { key.signature(of: bytes) }

    // MARK: what errors mean

    /// What the peer is that has said something and is no sshd; nil where it may be one. For an end before the login: libssh2 from 1.11 on
    /// waits for more.
    public var stranger: SSHError? {
        guard step == .handshake, let bytes = pipe.greeting, !bytes.isEmpty else { return nil }
        let greeting = ServerGreeting(reading: bytes)
        return greeting.identification == nil ? endpoint.failure(.notSSH(greeting.service)) : nil
    }

    private func failure(_ step: SSHError.Step, code: Int32) -> SSHError {
        if let excess = pipe.excess { return endpoint.failure(.excess(during: step, excess)) }
        if let farewell = pipe.farewell { return endpoint.failure(.connectionLost(during: step, farewell)) }
        if step == .handshake, let greeting = pipe.greeting.map(ServerGreeting.init(reading:)) {
            if greeting.identification == nil { return endpoint.failure(.notSSH(greeting.service)) }
            if let proposal = greeting.proposal, let mismatch = algorithms.mismatch(with: proposal) {
                return endpoint.failure(mismatch)
            }
        }
        return endpoint.failure(.protocolFailure(during: step, code: code, lastErrorText))
    }

    private var lastErrorText: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: Int32 = 0
        libssh2_session_last_error(handle, &text, &length, 0)
        return text.map { printable(String(cString: $0), limit: 200) } ?? ""
    }
}

/// The bytes between libssh2 and who carries them.
private final class Pipe {
    /// What came, from `inputStart` on.
    private var input: [UInt8] = []
    private var inputStart = 0
    var output: [UInt8] = []
    /// Nothing goes in or out any more.
    var isShut = false
    /// The peer's first bytes, in the clear: kept to explain a failed handshake, nil once the tunnel is open.
    var greeting: [UInt8]? = []
    /// The peer's own words for ending the session.
    var farewell: String?
    /// What the peer made this side keep that no server has reason to.
    private(set) var excess: String?
    /// Bytes that libssh2 holds for the session.
    var held: () -> Int = { 0 }

    /// Room for a greeting and KEXINIT, which is below 4 KiB with today's algorithms.
    private static let greetingLimit = 16 << 10
    /// libssh2 reads all there is each time; where it stops, something waits for what does not come.
    private static let inputLimit = 1 << 20
    /// Room for the answers that a batch of packets may ask for, and for one window: a tunnel's writes go on from here at once.
    private static let outputLimit = 4 << 20
    /// What a push made it grow to is not kept for the small messages after it.
    static let keptOutput = 64 << 10

    var isBroken: Bool { isShut || excess != nil }

    func append(_ bytes: UnsafeRawBufferPointer) {
        if let held = greeting?.count, held < Self.greetingLimit {
            greeting?.append(contentsOf: bytes.prefix(Self.greetingLimit - held))
        }
        if input.count - inputStart > Self.inputLimit { excess = "sent on while nothing of it could be read" }
        guard !isBroken else { return }
        input.append(contentsOf: bytes)
    }

    /// - Returns: the count read, or an error number below 0.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        if held() > Wire.heldLimit {
            excess = "made this side keep more than \(Wire.heldLimit >> 20) MiB of packets that nobody asked for"
        }
        if isBroken { return -Int(ECONNRESET) }
        let count = min(buffer.count, input.count - inputStart)
        if count == 0 { return -Int(EAGAIN) }
        input.withUnsafeBytes { buffer.copyMemory(from: UnsafeRawBufferPointer(rebasing: $0[inputStart..<inputStart + count])) }
        inputStart += count
        if inputStart == input.count {
            input.removeAll(keepingCapacity: input.count <= Self.keptOutput)
            inputStart = 0
        }
        return count
    }

    /// - Returns: the count of `bytes`, always taken as a whole, or an error number below 0.
    func send(_ bytes: UnsafeRawBufferPointer) -> Int {
        if output.count + bytes.count > Self.outputLimit {
            excess = "asked for more than \(Self.outputLimit >> 20) MiB of answers"
        }
        if isBroken { return -Int(EPIPE) }
        output.append(contentsOf: bytes)
        return bytes.count
    }
}

// MARK: libssh2's callbacks; `abstract` points at the pointer to the context

private func pipe(_ abstract: UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Pipe? {
    let context = abstract?.pointee?.assumingMemoryBound(to: tidegate_ssh_context.self)
    return context?.pointee.wire.map { Unmanaged<Pipe>.fromOpaque($0).takeUnretainedValue() }
}

private let receivePiped: tidegate_ssh_receive = { _, buffer, count, _, abstract in
    guard let pipe = pipe(abstract), let buffer else { return -Int(EINVAL) }
    return pipe.receive(into: UnsafeMutableRawBufferPointer(start: buffer, count: count))
}

private let sendPiped: tidegate_ssh_send = { _, buffer, count, _, abstract in
    guard let pipe = pipe(abstract), let buffer else { return -Int(EINVAL) }
    return pipe.send(UnsafeRawBufferPointer(start: buffer, count: count))
}

private let notePipedDisconnect: tidegate_ssh_disconnect = { _, reason, message, count, _, _, abstract in
    let bytes = UnsafeRawBufferPointer(start: message, count: message == nil ? 0 : Int(max(0, count)))
    pipe(abstract)?.farewell =
        "the peer ended the session: \"\(printable(String(decoding: bytes, as: UTF8.self)))\" (reason \(reason))"
}

/// Signs what libssh2 asks for; libssh2 frees the copy.
private let signLogin:
    @convention(c) (
        OpaquePointer?, UnsafeMutablePointer<UnsafeMutablePointer<UInt8>?>?, UnsafeMutablePointer<Int>?, UnsafePointer<UInt8>?,
        Int,
        UnsafeMutablePointer<UnsafeMutableRawPointer?>?
    ) -> Int32 = { session, signature, length, data, count, signer in
        guard let session, let signature, let length, let data, let owner = signer?.pointee else { return -1 }
        let tunnel = Unmanaged<SocketTunnel>.fromOpaque(owner).takeUnretainedValue()
        let signed = tunnel.signature(of: Array(UnsafeBufferPointer(start: data, count: count)))
        let copy = signed.withUnsafeBytes { tidegate_ssh_duplicate($0.baseAddress, $0.count, libssh2_session_abstract(session)) }
        guard let copy else { return -1 }
        signature.pointee = UnsafeMutableRawPointer(copy).assumingMemoryBound(to: UInt8.self)
        length.pointee = signed.count
        return 0
    }
