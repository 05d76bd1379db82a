import Glibc
import Syscalls

/// Connects to the first of several addresses that answers (RFC 8305): each further one is tried when the last has failed
/// or has not answered for a quarter of a second, and all go on until one connects.
struct Dialer {
    enum Outcome {
        case connected(Descriptor)
        case failed([SSHError.Attempt], codes: [Int32])
        case timedOut([SSHError.Attempt])
        case woken
    }

    /// Makes a socket of a family (AF_INET, AF_INET6) whose calls never wait.
    typealias Socket = @Sendable (Int32) throws(SystemFailure) -> Descriptor

    /// In the network namespace of the calling thread.
    static let ownSocket: Socket = { (family) throws(SystemFailure) in try Descriptor.socket(family, isWaiting: false) }

    /// The Connection Attempt Delay that RFC 8305 (section 5) recommends.
    private static let stagger = Duration.milliseconds(250)

    private let socket: Socket
    private var waiting: [SocketAddress]
    private var pending: [(socket: Descriptor, address: SocketAddress)] = []
    private var failures: [(attempt: SSHError.Attempt, code: Int32)] = []

    init(_ addresses: [SocketAddress], socket: @escaping Socket = ownSocket) {
        self.socket = socket
        waiting = Self.alternating(addresses)
    }

    /// The resolver's order, but with the families taking turns, so that a dead IPv6 path costs one delay only.
    private static func alternating(_ addresses: [SocketAddress]) -> [SocketAddress] {
        guard let first = addresses.first else { return [] }
        var same = addresses.filter { $0.family == first.family }[...]
        var other = addresses.filter { $0.family != first.family }[...]
        var result: [SocketAddress] = []
        while !same.isEmpty || !other.isEmpty {
            if let next = same.popFirst() { result.append(next) }
            if let next = other.popFirst() { result.append(next) }
        }
        return result
    }

    /// - Throws: `SystemFailure` when this machine has no descriptors left.
    mutating func dial(until deadline: ContinuousClock.Instant, wake: WakeSignal) throws(SystemFailure) -> Outcome {
        while true {
            if !waiting.isEmpty { try startNext() }
            if pending.isEmpty && waiting.isEmpty { return .failed(failures.map(\.attempt), codes: failures.map(\.code)) }
            if pending.isEmpty { continue }
            let next = ContinuousClock.now + Self.stagger
            var isTimeForNext = false
            while !isTimeForNext {
                let until = waiting.isEmpty ? deadline : min(deadline, next)
                var descriptors = pending.map { pollfd(fd: $0.socket.number, events: Int16(POLLOUT), revents: 0) }
                descriptors.append(pollfd(fd: wake.number, events: Int16(POLLIN), revents: 0))
                guard try poll(&descriptors, until: until) else {
                    if ContinuousClock.now >= deadline {
                        return .timedOut(
                            failures.map(\.attempt) + pending.map { .init(address: $0.address.text, failure: "no answer") })
                    }
                    break
                }
                if descriptors.last?.revents != 0 { return .woken }
                if let connected = collect(descriptors) { return .connected(connected) }
                isTimeForNext = pending.isEmpty || !waiting.isEmpty && ContinuousClock.now >= next
            }
        }
    }

    private mutating func startNext() throws(SystemFailure) {
        let address = waiting.removeFirst()
        do throws(SystemFailure) {
            let candidate = try socket(address.family)
            try candidate.connect(to: address)
            pending.append((candidate, address))
        } catch {
            guard error.call == "connect" || error.code == EAFNOSUPPORT else { throw error }
            failures.append((.init(address: address.text, failure: error.reason), error.code))
        }
    }

    /// Takes the failed out of `pending`.
    /// - Returns: one that connected.
    private mutating func collect(_ polled: [pollfd]) -> Descriptor? {
        var left: [(socket: Descriptor, address: SocketAddress)] = []
        for (candidate, poll) in zip(pending, polled) {
            guard poll.revents != 0 else {
                left.append(candidate)
                continue
            }
            let code = candidate.socket.pendingError
            if code == 0 { return candidate.socket }
            failures.append((.init(address: candidate.address.text, failure: errnoText(code)), code))
        }
        pending = left
        return nil
    }
}
