import CLinuxHeaders
public import Glibc

extension Descriptor {
    /// One of streams, or of datagrams.
    /// - Parameter isWaiting: false for one whose calls never wait.
    public static func socket(
        _ family: Int32, isDatagram: Bool = false, isWaiting: Bool = true
    ) throws(SystemFailure) -> Descriptor {
        let kind = isDatagram ? SOCK_DGRAM : SOCK_STREAM
        let flags = SOCK_CLOEXEC.rawValue | (isWaiting ? 0 : SOCK_NONBLOCK.rawValue)
        return try Descriptor("socket") { Glibc.socket(family, Int32(kind.rawValue | flags), 0) }
    }

    /// One that does not wait is connected when it can be written to, and `pendingError` is 0.
    public func connect(to address: SocketAddress) throws(SystemFailure) {
        var code: Int32 = 0
        // Not again after EINTR: the kernel goes on with the first attempt (connect(2)).
        address.withSockaddr { if Glibc.connect(number, $0, $1) != 0 { code = errno } }
        if code != 0, code != EINPROGRESS { throw SystemFailure("connect", code) }
    }

    public func bind(to address: SocketAddress) throws(SystemFailure) {
        try calling("bind") { address.withSockaddr { Glibc.bind(number, $0, $1) } }
    }

    /// A unix socket whose file has these rights from its first moment on: the kernel gives it those of the socket (unix_bind of
    /// net/unix/af_unix.c). umask(2) would be the whole process's.
    public func bind(to address: SocketAddress, mode: UInt32) throws(SystemFailure) {
        try calling("fchmod") { fchmod(number, mode) }
        try bind(to: address)
    }

    /// - Parameter backlog: connections that wait for `accept`.
    public func listen(backlog: Int32) throws(SystemFailure) { try calling("listen") { Glibc.listen(number, backlog) } }

    /// A connection whose calls never wait.
    public func accept() throws(SystemFailure) -> Descriptor {
        try Descriptor("accept") { accept4(number, nil, nil, Int32(SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)) }
    }

    /// Takes what has come, and does not wait.
    /// - Returns: how many bytes; 0 at the end; nil for nothing yet.
    public func receive(into buffer: UnsafeMutableRawBufferPointer) throws(SystemFailure) -> Int? {
        try unlessLater { () throws(SystemFailure) in
            try calling("recv") { recv(number, buffer.baseAddress, buffer.count, Int32(MSG_DONTWAIT)) }
        }
    }

    public func receive(into buffer: inout [UInt8]) throws(SystemFailure) -> Int? {
        try unlessLater { () throws(SystemFailure) in
            try calling("recv") {
                buffer.withUnsafeMutableBytes { recv(number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT)) }
            }
        }
    }

    /// Sends what the kernel takes at once, and raises no SIGPIPE.
    /// - Returns: how many bytes; 0 when there is no room yet.
    public func send(_ bytes: UnsafeRawBufferPointer) throws(SystemFailure) -> Int {
        try unlessLater { () throws(SystemFailure) in
            try calling("send") { Glibc.send(number, bytes.baseAddress, bytes.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL)) }
        } ?? 0
    }

    public func send(_ bytes: [UInt8]) throws(SystemFailure) -> Int {
        try unlessLater { () throws(SystemFailure) in
            try calling("send") {
                bytes.withUnsafeBytes { Glibc.send(number, $0.baseAddress, $0.count, Int32(MSG_DONTWAIT | MSG_NOSIGNAL)) }
            }
        } ?? 0
    }

    /// Sends all of it, waits where it must, and raises no SIGPIPE.
    public func sendAll(_ bytes: [UInt8]) throws(SystemFailure) {
        try pushAll(bytes, "send") { Glibc.send(number, $0, $1, Int32(MSG_NOSIGNAL)) }
    }

    private func unlessLater<Value>(_ call: () throws(SystemFailure) -> Value) throws(SystemFailure) -> Value? {
        do throws(SystemFailure) { return try call() } catch  where error.code == EAGAIN { return nil }
    }

    // MARK: options

    /// Its close is a reset (socket(7), SO_LINGER); of a unix socket, which has none, an end.
    public func resetOnClose() { try? setOption(SOL_SOCKET, SO_LINGER, linger(l_onoff: 1, l_linger: 0)) }

    public func setOption<Value: BitwiseCopyable>(_ level: Int32, _ name: Int32, _ value: Value) throws(SystemFailure) {
        try calling("setsockopt") {
            withUnsafeBytes(of: value) { setsockopt(number, level, name, $0.baseAddress, socklen_t($0.count)) }
        }
    }

    /// - Parameter initial: what tells the type, and its length.
    /// - Returns: nil where there is no such option.
    public func option<Value: BitwiseCopyable>(_ level: Int32, _ name: Int32, _ initial: Value) -> Value? {
        var value = initial
        var length = socklen_t(MemoryLayout<Value>.size)
        return getsockopt(number, level, name, &value, &length) == 0 ? value : nil
    }

    /// Why a connection that was begun does not come about (`SO_ERROR`); 0 when it has.
    public var pendingError: Int32 { option(SOL_SOCKET, SO_ERROR, 0 as Int32) ?? EBADF }

    /// Who connected, or listens, at the other end of a Unix socket (unix(7), SO_PEERCRED); nil when the kernel does not say.
    public var peer: (process: Int32, user: UInt32, group: UInt32)? {
        option(SOL_SOCKET, SO_PEERCRED, (process: Int32(0), user: UInt32(0), group: UInt32(0)))
    }
}

/// poll(2) that ends at `deadline` at the latest and is never interrupted.
/// - Returns: false when `deadline` came first.
public func poll(_ descriptors: inout [pollfd], until deadline: ContinuousClock.Instant) throws(SystemFailure) -> Bool {
    while true {
        let left = ContinuousClock.now.duration(to: deadline)
        // Rounded up: a wait that ends early would only be repeated.
        let milliseconds =
            left <= .zero
            ? 0 : Int32(clamping: left.components.seconds * 1000 + left.components.attoseconds / 1_000_000_000_000_000 + 1)
        let count = Glibc.poll(&descriptors, nfds_t(descriptors.count), milliseconds)
        let code = errno
        if count > 0 { return true }
        if count < 0 && code != EINTR { throw SystemFailure("poll", code) }
        if count == 0 && ContinuousClock.now >= deadline { return false }
    }
}
