public import Glibc
public import Testing

/// A blocking socket over IPv4 loopback. Waits 30 seconds at most for anything: machines that test have slow moments.
public final class Socket: Sendable {
    public enum Outcome: Equatable, Sendable { case bytes([UInt8]), end, failed(Int32) }

    public let descriptor: Int32

    private init(_ descriptor: Int32) {
        self.descriptor = descriptor
        var limit = timeval(tv_sec: 30, tv_usec: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        setsockopt(descriptor, SOL_SOCKET, SO_SNDTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
    }

    deinit { close(descriptor) }

    private static func new(_ kind: __socket_type) throws -> Socket {
        let descriptor = socket(AF_INET, Int32(kind.rawValue), 0)
        guard descriptor >= 0 else { throw SocketError(code: errno) }
        return Socket(descriptor)
    }

    /// `port` 0 lets the system choose.
    public static func listening(_ kind: __socket_type = SOCK_STREAM, at address: String = "127.0.0.1", port: UInt16 = 0) throws
        -> Socket
    {
        let socket = try new(kind)
        try withAddress(address, port) { bind(socket.descriptor, $0, $1) }
        if kind == SOCK_STREAM, listen(socket.descriptor, 512) != 0 { throw SocketError(code: errno) }
        return socket
    }

    public static func connected(_ kind: __socket_type = SOCK_STREAM, to address: String, port: UInt16) throws -> Socket {
        let socket = try new(kind)
        try withAddress(address, port) { connect(socket.descriptor, $0, $1) }
        return socket
    }

    /// `sockaddr_in` as ip(7) lays it out: family, port and address in the network's order, and zeros.
    private static func withAddress(
        _ text: String, _ port: UInt16, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32
    ) throws {
        let parts = text.split(separator: ".").compactMap { UInt8($0) }
        let bytes = [UInt8(AF_INET), 0, UInt8(port >> 8), UInt8(port & 0xFF)] + parts + [UInt8](repeating: 0, count: 8)
        let result = bytes.withUnsafeBytes { buffer in
            buffer.withMemoryRebound(to: sockaddr.self) { $0.baseAddress.map { body($0, socklen_t(buffer.count)) } ?? -1 }
        }
        if result != 0 { throw SocketError(code: errno) }
    }

    public var port: UInt16 {
        var bytes = [UInt8](repeating: 0, count: 16)
        var length = socklen_t(bytes.count)
        bytes.withUnsafeMutableBytes { buffer in
            buffer.withMemoryRebound(to: sockaddr.self) { _ = getsockname(descriptor, $0.baseAddress, &length) }
        }
        return UInt16(bytes[2]) << 8 | UInt16(bytes[3])
    }

    public func accepted() throws -> Socket {
        let peer = accept(descriptor, nil, nil)
        guard peer >= 0 else { throw SocketError(code: errno) }
        return Socket(peer)
    }

    /// The same for whoever serves: waits as long as nobody comes. Ends where the socket is shut down.
    public func nextAccepted() throws -> Socket {
        while true {
            do {
                return try accepted()
            } catch let error as SocketError where error.code == EAGAIN {
                continue
            }
        }
    }

    public func send(_ bytes: [UInt8]) throws {
        var sent = 0
        repeat {
            let count = bytes.withUnsafeBytes { buffer in
                Glibc.send(descriptor, buffer.baseAddress.map { $0 + sent }, buffer.count - sent, Int32(MSG_NOSIGNAL))
            }
            guard count >= 0 else { throw SocketError(code: errno) }
            sent += count
        } while sent < bytes.count
    }

    public func receive(atMost limit: Int = 65_536) -> Outcome {
        var bytes = [UInt8](repeating: 0, count: limit)
        let count = recv(descriptor, &bytes, limit, 0)
        guard count >= 0 else { return .failed(errno) }
        return count == 0 ? .end : .bytes(Array(bytes.prefix(count)))
    }

    /// All that comes, and how it ended: 0 for a clean end.
    public func receiveAll() -> (bytes: [UInt8], failure: Int32) {
        var all: [UInt8] = []
        while true {
            switch receive() {
            case .bytes(let bytes): all += bytes
            case .end: return (all, 0)
            case .failed(let code): return (all, code)
            }
        }
    }

    public func endSending() { shutdown(descriptor, Int32(SHUT_WR)) }

    /// The next close is a reset.
    public func resetWhenClosed() {
        var option = linger(l_onoff: 1, l_linger: 0)
        setsockopt(descriptor, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
    }

    public func setReceiveBuffer(_ bytes: Int32) {
        var bytes = bytes
        setsockopt(descriptor, SOL_SOCKET, SO_RCVBUF, &bytes, socklen_t(MemoryLayout<Int32>.size))
    }
}

public struct SocketError: Error, Equatable {
    public let code: Int32

    public init(code: Int32) { self.code = code }
}

/// Runs what blocks, on a thread of its own: hundreds may block at a time.
public func blocking<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
    try await withCheckedThrowingContinuation { continuation in
        let job = Job { continuation.resume(with: Result { try body() }) }
        var thread = pthread_t()
        let code = pthread_create(
            &thread, nil,
            { pointer in
                guard let pointer else { return nil }
                Unmanaged<Job>.fromOpaque(pointer).takeRetainedValue().run()
                return nil
            }, Unmanaged.passRetained(job).toOpaque())
        if code == 0 { pthread_detach(thread) } else { continuation.resume(throwing: SocketError(code: code)) }
    }
}

private final class Job: Sendable {
    let run: @Sendable () -> Void

    init(_ run: @escaping @Sendable () -> Void) { self.run = run }
}

/// What comes next on the socket is `outcome`.
public func expectNext(on socket: Socket, _ outcome: Socket.Outcome, sourceLocation: SourceLocation = #_sourceLocation)
    async throws
{
    let next = try await blocking { socket.receive() }
    #expect(next == outcome, sourceLocation: sourceLocation)
}

/// Whether nothing listens there; a connection that comes about is reset at once.
public func isRefused(_ address: String, _ port: UInt16) async -> Bool {
    (try? await blocking { try Socket.connected(to: address, port: port).resetWhenClosed() }) == nil
}

/// Asks again and again until it holds, 30 seconds at most; whether it came to hold.
public func comes(_ holds: @Sendable () async -> Bool) async -> Bool {
    for _ in 0..<1_500 {
        if await holds() { return true }
        try? await Task.sleep(for: .milliseconds(20))
    }
    return false
}
