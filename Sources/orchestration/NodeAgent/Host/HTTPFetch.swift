import CLinuxHeaders
import Glibc
public import NetworkTypes
import NodeDocument
import Syscalls

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
        var entries = open.map { pollfd(fd: $0.descriptor, events: $0.awaited, revents: 0) }
        guard !open.isEmpty, (try? poll(&entries, until: deadline.end)) == true else { break }
        for (exchange, entry) in zip(open, entries) where entry.revents != 0 { exchange.advance() }
    }
    return exchanges.map { exchange in
        exchange.result ?? .failure(AgentError(.network, "\(exchange.target) did not answer within \(milliseconds) ms"))
    }
}

/// One connection: sends its request, then gathers the answer.
final class HTTPExchange {
    let target: HTTPTarget
    private var connection: Descriptor?
    var descriptor: Int32 { connection?.number ?? -1 }
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
        do throws(AgentError) { connection = try connectTo(target) } catch {
            result = .failure(error)
            errorNumber = ENETUNREACH
        }
    }

    var awaited: Int16 { Int16(unsent.isEmpty ? POLLIN : POLLOUT) }

    func advance() {
        if unsent.isEmpty { take() } else { send() }
    }

    private func send() {
        do throws(SystemFailure) {
            unsent.removeFirst(try connection?.send(unsent) ?? 0)
        } catch {
            fail("asking", error.code)
        }
    }

    private func take() {
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        let count: Int
        do throws(SystemFailure) {
            guard let some = try connection?.receive(into: &buffer) else { return }
            count = some
        } catch {
            return fail("reading the answer of", error.code)
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
func unixAddress(_ path: String) throws(AgentError) -> SocketAddress {
    do throws(SystemFailure) {
        return try SocketAddress(unix: path)
    } catch {
        throw AgentError(.system, "the socket path \(path) is too long")
    }
}

/// O_PATH of asm-generic/fcntl.h, which needs _GNU_SOURCE: where a file is, without opening it.
private let placeOnly: Int32 = 0o10000000

/// A connection in progress; it does not wait.
private func connectTo(_ target: HTTPTarget) throws(AgentError) -> Descriptor {
    let tried = "connecting to \(target)"
    let address: SocketAddress
    var place: Descriptor?
    switch target {
    case .unixSocket(let path):
        // Another user may write to its folder: a link there must not lead root to a socket elsewhere.
        let found = try attempting(tried) { () throws(SystemFailure) in
            let found = try Descriptor.open(path, placeOnly | O_NOFOLLOW)
            return (place: found, status: try found.status())
        }
        guard found.status.st_mode & S_IFMT == S_IFSOCK else { throw AgentError(.network, "\(tried): it is no socket") }
        address = try unixAddress("/proc/self/fd/\(found.place.number)")
        place = found.place
    case .address(let ip, let port): address = SocketAddress(.v4(ip), port: port)
    }
    defer { withExtendedLifetime(place) {} }
    let connection = try attempting("opening a socket") { () throws(SystemFailure) in
        try Descriptor.socket(address.family, isWaiting: false)
    }
    return try attempting(tried, kind: .network) { () throws(SystemFailure) in
        // Three connections a second end here, and each would keep its local port from a new listener for a minute (TIME_WAIT).
        if address.ip != nil { try connection.setOption(SOL_SOCKET, SO_REUSEADDR, 1 as Int32) }
        try connection.connect(to: address)
        return connection
    }
}
