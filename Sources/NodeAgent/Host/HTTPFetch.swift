import CLinuxHeaders
import Glibc
public import NetworkTypes
import NodeDocument

/// What answers a GET: Envoy's admin socket, or an uplink through the tunnel.
public enum HTTPTarget: Hashable, Sendable, CustomStringConvertible {
    case unixSocket(String)
    case address(IPv4Address, Port)

    public var description: String {
        switch self {
        case .unixSocket(let path): path
        case .address(let address, let port): "\(address):\(port)"
        }
    }
}

/// Sends the same GET to every target at once, and waits until all have answered or `milliseconds` are over.
///
/// Local and tunnel traffic only, where no TLS, redirect or proxy is met: one thread and poll(2) do, and start at once.
/// - Parameter limit: bytes of an answer, header and all; a longer one counts as none.
/// - Returns: in the order of `targets`, the answer or why there is none.
func fetch(_ path: String, from targets: [HTTPTarget], milliseconds: Int, limit: Int) -> [Result<HTTPReply, AgentError>] {
    let exchanges = targets.map { HTTPExchange($0, path: path, limit: limit) }
    let deadline = Deadline(milliseconds: milliseconds)
    while true {
        let open = exchanges.filter { $0.result == nil }
        guard !open.isEmpty, let remaining = deadline.remaining else { break }
        var entries = open.map { pollfd(fd: $0.descriptor, events: $0.awaited, revents: 0) }
        if poll(&entries, nfds_t(entries.count), remaining) < 0 && errno != EINTR { break }
        for (exchange, entry) in zip(open, entries) where entry.revents != 0 { exchange.advance() }
    }
    return exchanges.map { exchange in
        exchange.result ?? .failure(AgentError(.network, "\(exchange.target) did not answer within \(milliseconds) ms"))
    }
}

/// One connection: sends its request, then gathers the answer.
final class HTTPExchange {
    let target: HTTPTarget
    private(set) var descriptor: Int32 = -1
    private(set) var result: Result<HTTPReply, AgentError>?
    private var unsent: [UInt8]
    private var received: [UInt8] = []
    private let limit: Int
    /// Of the call that failed; 0 for none. A connection that cannot even begin counts as one without a way.
    private var errorNumber: Int32 = 0

    /// Whether nothing came of it for want of a way there, as far as this host can tell: nobody answered.
    var isUnreachable: Bool { [ENETUNREACH, EHOSTUNREACH, ENETDOWN, ETIMEDOUT].contains(errorNumber) }

    init(_ target: HTTPTarget, path: String, limit: Int) {
        self.target = target
        self.limit = limit
        unsent = Array("GET \(path) HTTP/1.1\r\nHost: tidegate\r\nConnection: close\r\n\r\n".utf8)
        do throws(AgentError) { descriptor = try connectTo(target) } catch {
            result = .failure(error)
            errorNumber = ENETUNREACH
        }
    }

    deinit { if descriptor >= 0 { close(descriptor) } }

    var awaited: Int16 { Int16(unsent.isEmpty ? POLLIN : POLLOUT) }

    func advance() {
        if unsent.isEmpty { take() } else { send() }
    }

    private func send() {
        let count = Glibc.send(descriptor, unsent, unsent.count, Int32(MSG_NOSIGNAL))
        if count >= 0 { unsent.removeFirst(count) } else if errno != EAGAIN && errno != EINTR { fail("asking", errno) }
    }

    private func take() {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count = recv(descriptor, &buffer, buffer.count, 0)
        if count < 0 {
            if errno != EAGAIN && errno != EINTR { fail("reading the answer of", errno) }
            return
        }
        received += buffer.prefix(count)
        do throws(MalformedHTTP) {
            if received.count > limit { throw MalformedHTTP(reason: "longer than \(limit) bytes") }
            if let reply = try HTTPReplyParser.parse(received, isAtEnd: count == 0) { result = .success(reply) }
        } catch {
            result = .failure(AgentError(.network, "reading the answer of \(target): \(error.reason)"))
        }
    }

    private func fail(_ tried: String, _ code: Int32) {
        errorNumber = code
        result = .failure(AgentError(errno: code, tried: "\(tried) \(target)", kind: .network))
    }
}

/// - Throws: `AgentError` when the path is too long for a socket.
func unixAddress(_ path: String) throws(AgentError) -> sockaddr_un {
    var address = sockaddr_un()
    address.sun_family = sa_family_t(AF_UNIX)
    let fits = withUnsafeMutableBytes(of: &address.sun_path) { room in
        guard path.utf8.count < room.count else { return false }
        room.copyBytes(from: path.utf8)
        return true
    }
    guard fits else { throw AgentError(.system, "the socket path \(path) is too long") }
    return address
}

/// O_PATH of asm-generic/fcntl.h, which needs _GNU_SOURCE: where a file is, without opening it.
private let placeOnly: Int32 = 0o10000000

/// A connection in progress; it does not wait.
private func connectTo(_ target: HTTPTarget) throws(AgentError) -> Int32 {
    let family = if case .unixSocket = target { AF_UNIX } else { AF_INET }
    let kind = Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue | SOCK_CLOEXEC.rawValue)
    let descriptor = try checked("opening a socket") { socket(family, kind, 0) }
    let result: Int32
    switch target {
    case .unixSocket(let path):
        // Another user may write to its folder: a link there must not lead root to a socket elsewhere.
        let place = open(path, placeOnly | O_CLOEXEC | O_NOFOLLOW)
        defer { if place >= 0 { close(place) } }
        var status = stat()
        var address: sockaddr_un
        do throws(AgentError) {
            try checked("connecting to \(target)") { place }
            try checked("connecting to \(target)") { fstat(place, &status) }
            guard status.st_mode & S_IFMT == S_IFSOCK else {
                throw AgentError(.network, "connecting to \(target): it is no socket")
            }
            address = try unixAddress("/proc/self/fd/\(place)")
        } catch {
            close(descriptor)
            throw error
        }
        result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
    case .address(let ip, let port):
        // Three connections a second end here, and each would keep its local port from a new listener for a minute (TIME_WAIT).
        var reuse: Int32 = 1
        setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &reuse, socklen_t(MemoryLayout<Int32>.size))
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = port.number.bigEndian
        address.sin_addr.s_addr = ip.number.bigEndian
        result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
    }
    if result < 0 && errno != EINPROGRESS {
        let code = errno
        close(descriptor)
        throw AgentError(errno: code, tried: "connecting to \(target)", kind: .network)
    }
    return descriptor
}
