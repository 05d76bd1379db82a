import CLibmnl
import CLinuxHeaders
import Glibc
public import NetlinkMessages
import Sodium
import Syscalls

/// A netlink socket in the network namespace of the thread that opened it; one thread at a time may use it.
///
/// Every call waits for the kernel's answer, which comes at once, and gives up after the timeout.
public final class NetlinkSocket {
    public enum Family: Int32, Sendable {
        /// NETLINK_ROUTE
        case route = 0
        /// NETLINK_SOCK_DIAG
        case socketDiagnostics = 4
        /// NETLINK_NETFILTER
        case netfilter = 12
        /// NETLINK_GENERIC
        case generic = 16
    }

    private let socket: OpaquePointer
    private let family: Family
    private let timeout: Duration
    private var sequence: UInt32 = 0
    private var buffer: [UInt8]
    private var sendBufferLength = 0

    /// How often an interrupted dump is asked for again.
    private static let dumpAttempts = 5
    /// What a dump fills at most in one datagram (`max_recvmsg_len` in net/netlink/af_netlink.c).
    private static let dumpDatagramLength = 32768
    /// Room for the answers to one batch, in bytes; the kernel counts some 800 for each.
    private static let receiveBufferLength: Int32 = 4 << 20

    /// - Parameter timeout: how long one request may take, until its last answer.
    public init(_ family: Family, timeout: Duration = .seconds(5)) throws(NetlinkError) {
        let name = "open a netlink socket (\(family))"
        guard let socket = mnl_socket_open2(family.rawValue, Int32(bitPattern: SOCK_CLOEXEC.rawValue)) else {
            throw NetlinkError(request: name, cause: .systemCall("socket", errno: errno))
        }
        self.socket = socket
        self.family = family
        self.timeout = timeout
        buffer = [UInt8](repeating: 0, count: Self.dumpDatagramLength)
        // Both only improve what errors say; kernels before 4.12 have neither.
        var on: Int32 = 1
        _ = mnl_socket_setsockopt(socket, Int32(NETLINK_EXT_ACK), &on, socklen_t(MemoryLayout<Int32>.size))
        _ = mnl_socket_setsockopt(socket, Int32(NETLINK_CAP_ACK), &on, socklen_t(MemoryLayout<Int32>.size))
        setBufferLength(Self.receiveBufferLength, force: SO_RCVBUFFORCE, plain: SO_RCVBUF)
        let wait = timeout.components
        let interval = timeval(tv_sec: Int(wait.seconds), tv_usec: Int(wait.attoseconds / 1_000_000_000_000))
        do throws(SystemFailure) {
            try calling("bind") { mnl_socket_bind(socket, 0, MNL_SOCKET_AUTOPID) }
            for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
                try Descriptor(borrowing: descriptor).setOption(SOL_SOCKET, option, interval)
            }
        } catch {
            throw NetlinkError(request: name, cause: .systemCall(error.call, errno: error.code))
        }
    }

    deinit { mnl_socket_close(socket) }

    /// Asks for one thing, or changes one thing.
    /// - Returns: the messages that carry data, none for most changes.
    @discardableResult
    public func request(_ message: NetlinkMessage) throws(NetlinkError) -> [NetlinkReply] {
        try transact([message.adding(.acknowledge)])
    }

    /// Sends messages in one datagram, as nfnetlink wants its batches, and waits until each one with `.acknowledge` is
    /// answered. Errors come for every message, in order, so to acknowledge the last one between BEGIN and END is enough;
    /// after that one nothing is waited for.
    /// - Throws: the error of the first message that failed. nfnetlink has then undone the whole batch.
    @discardableResult
    public func transact(_ messages: [NetlinkMessage]) throws(NetlinkError) -> [NetlinkReply] {
        guard let opening = messages.first else { return [] }
        let first = sequence &+ 1
        try send(messages)
        let deadline = ContinuousClock.now + timeout
        var awaited = Set(messages.indices.filter { messages[$0].flags.contains(.acknowledge) })
        var failure: NetlinkError?
        var answers: [NetlinkReply] = []
        while !awaited.isEmpty {
            for reply in try receive(for: opening, until: deadline) {
                let index = Int(reply.sequence &- first)
                guard messages.indices.contains(index) else { continue }
                switch try verdict(of: reply, to: messages[index]) {
                case nil: answers.append(reply)
                case .nothing?, .done?: break
                case .acknowledged(let errno, let text)?:
                    awaited.remove(index)
                    guard errno != 0 else { break }
                    failure = failure ?? NetlinkError(request: "\(messages[index])", cause: .refused(errno: errno, message: text))
                    // Refused as a whole: the messages inside are not answered.
                    if index == 0 { awaited.removeAll() }
                }
            }
        }
        if let failure { throw failure }
        return answers
    }

    /// Every object that `message` asks for; asked again when the kernel's tables changed meanwhile.
    public func dump(_ message: NetlinkMessage) throws(NetlinkError) -> [NetlinkReply] {
        for _ in 1...Self.dumpAttempts {
            if let answers = try dumpOnce(message.adding(.dump)) { return answers }
        }
        throw NetlinkError(request: "\(message)", cause: .alwaysInterrupted(attempts: Self.dumpAttempts))
    }

    /// - Returns: nil when the dump was interrupted.
    private func dumpOnce(_ message: NetlinkMessage) throws(NetlinkError) -> [NetlinkReply]? {
        try send([message])
        let deadline = ContinuousClock.now + timeout
        var answers: [NetlinkReply] = []
        var isInterrupted = false
        while true {
            for reply in try receive(for: message, until: deadline) where reply.sequence == sequence {
                isInterrupted = isInterrupted || reply.flags.contains(.dumpInterrupted)
                switch try verdict(of: reply, to: message) {
                case nil: answers.append(reply)
                case .nothing?: break
                case .acknowledged(let errno, let text)?, .done(let errno, let text)?:
                    if isInterrupted { return nil }
                    guard errno == 0 else {
                        throw NetlinkError(request: "\(message)", cause: .refused(errno: errno, message: text))
                    }
                    return answers
                }
            }
        }
    }

    private func verdict(of reply: NetlinkReply, to message: NetlinkMessage) throws(NetlinkError) -> NetlinkVerdict? {
        do {
            return try reply.verdict()
        } catch {
            throw NetlinkError(request: "\(message)", cause: .malformed(error))
        }
    }

    private func send(_ messages: [NetlinkMessage]) throws(NetlinkError) {
        var bytes: [UInt8] = []
        for message in messages {
            sequence &+= 1
            do throws(MalformedNetlink) {
                bytes += try message.encoded(sequence: sequence)
            } catch {
                throw NetlinkError(request: "\(message)", cause: .malformed(error))
            }
        }
        defer { if messages.contains(where: \.attributes.holdsSecret) { zero(&bytes) } }
        // A datagram must fit the send buffer whole, or the kernel answers EMSGSIZE.
        if bytes.count > sendBufferLength {
            sendBufferLength = bytes.count + 4096
            setBufferLength(Int32(clamping: sendBufferLength), force: SO_SNDBUFFORCE, plain: SO_SNDBUF)
        }
        do throws(SystemFailure) {
            try calling("sendto") { mnl_socket_sendto(socket, bytes, bytes.count) }
        } catch {
            throw failure(error, for: messages)
        }
    }

    /// One datagram's messages; none when it did not come from the kernel.
    private func receive(for message: NetlinkMessage, until deadline: ContinuousClock.Instant) throws(NetlinkError)
        -> [NetlinkReply]
    {
        var sender = sockaddr_nl()
        while true {
            guard ContinuousClock.now < deadline else {
                throw NetlinkError(request: "\(message)", cause: .timedOut(timeout))
            }
            // Peeking tells the length before anything is lost, and who sent it.
            var senderLength = socklen_t(MemoryLayout<sockaddr_nl>.size)
            let received: Int
            do throws(SystemFailure) {
                let length = try calling("recvfrom") {
                    withUnsafeMutablePointer(to: &sender) { pointer in
                        pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                            recvfrom(descriptor, nil, 0, Int32(MSG_PEEK | MSG_TRUNC), $0, &senderLength)
                        }
                    }
                }
                if length > buffer.count { buffer = [UInt8](repeating: 0, count: length) }
                received = try calling("recvfrom") { mnl_socket_recvfrom(socket, &buffer, buffer.count) }
            } catch {
                throw failure(error, for: [message])
            }
            guard sender.nl_pid == 0 else { continue }
            do throws(MalformedNetlink) {
                return try NetlinkReply.parse(ArraySlice(buffer.prefix(received)))
            } catch {
                throw NetlinkError(request: "\(message)", cause: .malformed(error))
            }
        }
    }

    private func failure(_ failure: SystemFailure, for messages: [NetlinkMessage]) -> NetlinkError {
        let request = messages.count == 1 ? "\(messages[0])" : "batch of \(messages.count) messages"
        switch failure.code {
        case EAGAIN: return NetlinkError(request: request, cause: .timedOut(timeout))
        case ENOBUFS: return NetlinkError(request: request, cause: .answersLost)
        default: return NetlinkError(request: request, cause: .systemCall(failure.call, errno: failure.code))
        }
    }

    /// The forced option goes beyond net.core.*mem_max and needs CAP_NET_ADMIN; without it the plain one does its best.
    private func setBufferLength(_ length: Int32, force: Int32, plain: Int32) {
        var value = length
        let size = socklen_t(MemoryLayout<Int32>.size)
        if setsockopt(descriptor, SOL_SOCKET, force, &value, size) != 0 {
            _ = setsockopt(descriptor, SOL_SOCKET, plain, &value, size)
        }
    }

    private var descriptor: Int32 { mnl_socket_get_fd(socket) }
}
