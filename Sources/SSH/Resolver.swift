import Glibc
import NetworkTypes
import Synchronization

/// Looks a name up with getaddrinfo(3), which can neither be given a deadline nor be interrupted: it runs on a thread of
/// its own, and whoever waits may go away.
final class Resolver: Sendable {
    enum Answer: Sendable {
        case addresses([SocketAddress])
        case failure(String)
    }

    private let answer = Mutex<Answer?>(nil)
    private let done: WakeSignal

    init(name: String, port: Port) throws(SystemFailure) {
        done = try WakeSignal()
        try startThread(named: "ssh-resolver") { [self] in
            let found = Self.lookUp(name: name, port: port)
            answer.withLock { $0 = found }
            done.raise()
        }
    }

    /// - Returns: nil when `deadline` came first, or `wake` was raised.
    func wait(until deadline: ContinuousClock.Instant, wake: WakeSignal) throws(SystemFailure) -> Answer? {
        var descriptors = [done.number, wake.number].map { pollfd(fd: $0, events: Int16(POLLIN), revents: 0) }
        _ = try poll(&descriptors, until: deadline)
        return answer.withLock { $0 }
    }

    private static func lookUp(name: String, port: Port) -> Answer {
        var hints = addrinfo()
        hints.ai_socktype = Int32(SOCK_STREAM.rawValue)
        hints.ai_flags = AI_NUMERICSERV
        var list: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, "\(port)", &hints, &list)
        guard code == 0 else {
            return .failure(code == EAI_SYSTEM ? errnoText(errno) : String(cString: gai_strerror(code)))
        }
        defer { freeaddrinfo(list) }
        var addresses: [SocketAddress] = []
        var next = list
        while let info = next?.pointee {
            if let address = SocketAddress(info) { addresses.append(address) }
            next = info.ai_next
        }
        return addresses.isEmpty ? .failure("it has no IPv4 or IPv6 address") : .addresses(addresses)
    }
}
