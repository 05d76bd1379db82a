import CLibssh2
import Glibc
import Sodium
import Synchronization
import Syscalls

/// The socket under a libssh2 session. libssh2 reads and writes through it, on the connection's own thread only.
///
/// What the kernel does not take at once waits here. So libssh2 never sees a write that would block, which it could only
/// continue with the very same call, and reading, window adjustments and keepalives need not wait for such a call.
final class Wire {
    /// Why nothing more comes or goes.
    enum Failure: Equatable {
        case closedByPeer
        case system(Int32)
        /// `deadline` passed while the peer kept sending.
        case deadline
        /// More came than any server has reason to send: `freeBytes` and the output of commands were used up.
        case flood
        /// libssh2 holds more for this session than `heldLimit`.
        case hoard
    }

    enum Readiness { case ready, deadline }

    private let socket: Descriptor
    private let wake: WakeSignal
    /// Read from other threads.
    let statistics: Statistics
    private(set) var failure: Failure?
    private(set) var lastReceived = ContinuousClock.now
    /// Bytes that libssh2 has read.
    private(set) var received = 0
    /// Nothing is read beyond it, even from a peer that never stops sending.
    var deadline: ContinuousClock.Instant?
    /// The peer's first bytes, in the clear: kept to explain a failed handshake, nil once that is over.
    var greeting: [UInt8]? = []
    /// The peer's own words for ending the session.
    var farewell: String?
    /// What prompts of keyboard-interactive are answered with; nil but while that runs.
    var answer: SecretBytes?
    /// The first prompt of keyboard-interactive that there was no answer to, or that did not take it.
    var prompt: String?
    /// Bytes that libssh2 holds for the session.
    var held: () -> Int = { 0 }
    private var readBudget = 0
    private var outbox: [UInt8] = []
    private var outboxStart = 0
    private var sentSinceReceived = false

    /// Far beyond what a well-behaved peer leaves unread; one that asks and never reads must not fill our memory.
    private static let outboxLimit = 8 << 20
    /// What a push of megabytes made it grow to is not kept for the small messages after it.
    private static let keptOutbox = 16 << 10
    /// libssh2 reads for as long as there is something to read; a peer that never stops must not keep it for ever.
    private static let readBudgetSize = 1 << 20
    /// What may come besides the output of commands: the handshakes, answers, signs of life and the heads of packets. It is used up
    /// by every byte, given back by each byte of output that a command's limit accounts for, and grows again by `freeBytesPerSecond`.
    static let freeBytes = 4 << 20
    private static let freeBytesPerMillisecond = 32
    /// libssh2 keeps what it has no use for (answers nobody asked for, packets of kinds unknown to it) until the session ends.
    /// Well-behaved servers leave it far below: a channel's window is 2 MiB, and is emptied after each `readBudgetSize`.
    static let heldLimit = 4 << 20
    private var free = Wire.freeBytes
    /// What the peer may send, and leave with libssh2, beyond these.
    private var allowed = 0
    private var freeSince = ContinuousClock.now
    /// Room for a greeting and KEXINIT, which is below 4 KiB with today's algorithms.
    private static let greetingLimit = 16 << 10

    /// TCP_RTO_MAX_MS of linux/tcp.h, since Linux 6.15.
    private static let tcpMostRetransmissionTimeout: Int32 = 44

    final class Statistics: Sendable {
        private let value = Mutex(SSHStatistics())
        var current: SSHStatistics { value.withLock { $0 } }
        func update(_ body: (inout SSHStatistics) -> Void) { value.withLock { body(&$0) } }
    }

    init(socket: Descriptor, wake: WakeSignal, statistics: Statistics) {
        self.socket = socket
        self.wake = wake
        self.statistics = statistics
    }

    var outboxCount: Int { outbox.count - outboxStart }

    /// Small packets leave at once, and a peer that is gone is noticed although nobody writes.
    func configure(_ timeouts: SSHTimeouts) {
        func set(_ level: Int32, _ option: Int32, _ value: Int64) {
            // Not every kernel has each of them; the timeouts hold without.
            try? socket.setOption(level, option, Int32(clamping: value))
        }
        let tcp = Int32(IPPROTO_TCP)
        set(tcp, TCP_NODELAY, 1)
        set(SOL_SOCKET, SO_KEEPALIVE, 1)
        set(tcp, TCP_KEEPIDLE, timeouts.keepaliveSeconds)
        set(tcp, TCP_KEEPINTVL, max(1, timeouts.keepaliveSeconds / 3))
        set(tcp, TCP_USER_TIMEOUT, timeouts.idle.components.seconds * 1000)
        // What was lost while the network was away is sent again soon after it is back, and not up to two minutes later.
        set(tcp, Self.tcpMostRetransmissionTimeout, 5000)
    }

    /// libssh2 may read again.
    func renewReadBudget() {
        readBudget = Self.readBudgetSize
        let now = ContinuousClock.now
        let milliseconds = Int((now - freeSince) / .milliseconds(1))
        guard milliseconds > 0 else { return }
        freeSince = now
        free = min(Self.freeBytes + allowed, free + min(milliseconds, Self.freeBytes) * Self.freeBytesPerMillisecond)
    }

    /// So much of what comes is no flood, and no hoard where it is kept: the windows of open channels.
    func allow(_ bytes: Int) {
        free = min(Self.freeBytes + bytes, free + max(0, bytes - allowed))
        allowed = bytes
    }

    /// A command's own limit accounts for so many bytes of what came.
    func giveBack(_ count: Int) { free = min(Self.freeBytes + allowed, free + count) }

    /// From now on nothing goes out or comes in.
    func shutDown() { if failure == nil { failure = .system(ECANCELED) } }

    // MARK: libssh2's calls

    /// - Returns: the count read, 0 at the end, or an error number below 0.
    func receive(into buffer: UnsafeMutableRawBufferPointer) -> Int {
        if let failure { return failure == .closedByPeer ? 0 : -Int(ECONNRESET) }
        if let deadline, ContinuousClock.now >= deadline {
            failure = .deadline
            return -Int(ETIMEDOUT)
        }
        if free <= 0 { failure = .flood }
        if held() > Self.heldLimit + allowed { failure = .hoard }
        if failure != nil { return -Int(ECONNRESET) }
        if readBudget <= 0 { return -Int(EAGAIN) }
        let count: Int
        do throws(SystemFailure) {
            guard let some = try socket.receive(into: buffer) else { return -Int(EAGAIN) }
            count = some
        } catch {
            failure = .system(error.code)
            return -Int(error.code)
        }
        if count > 0 {
            readBudget -= count
            free -= count
            received += count
            lastReceived = .now
            let turned = sentSinceReceived
            sentSinceReceived = false
            statistics.update {
                $0.bytesReceived += count
                if turned { $0.roundTrips += 1 }
            }
            if let held = greeting?.count, held < Self.greetingLimit {
                greeting?.append(contentsOf: buffer[..<min(count, Self.greetingLimit - held)])
            }
            return count
        }
        failure = .closedByPeer
        return 0
    }

    /// - Returns: the count of `buffer`, always taken as a whole, or an error number below 0.
    func send(_ buffer: UnsafeRawBufferPointer) -> Int {
        if failure != nil { return -Int(EPIPE) }
        var sent = 0
        if outboxCount == 0 {
            sent = push(buffer)
            if failure != nil { return -Int(EPIPE) }
        }
        if sent < buffer.count {
            guard outboxCount < Self.outboxLimit else {
                failure = .system(ENOBUFS)
                return -Int(ENOBUFS)
            }
            outbox.append(contentsOf: buffer[sent...])
        }
        return buffer.count
    }

    private func push(_ buffer: UnsafeRawBufferPointer) -> Int {
        let count: Int
        do throws(SystemFailure) {
            count = try socket.send(buffer)
        } catch {
            failure = .system(error.code)
            return 0
        }
        guard count > 0 else { return 0 }
        sentSinceReceived = true
        statistics.update { $0.bytesSent += count }
        return count
    }

    // MARK: waiting

    /// Waits until something can be read, has been written, another thread raised the wake signal, or one of `others` is as it wishes.
    /// - Parameter reading: false to notice only that the peer is gone, and leave what it sends unread.
    func wait(
        until deadline: ContinuousClock.Instant, reading: Bool = true, others: [pollfd] = []
    ) throws(SystemFailure) -> Readiness {
        let input = reading ? POLLIN : TIDEGATE_POLLRDHUP
        var descriptors = [
            pollfd(fd: socket.number, events: Int16(input | (outboxCount > 0 ? POLLOUT : 0)), revents: 0),
            pollfd(fd: wake.number, events: Int16(POLLIN), revents: 0),
        ]
        descriptors += others
        guard try poll(&descriptors, until: deadline) else { return .deadline }
        if descriptors[1].revents != 0 { wake.clear() }
        let events = Int32(descriptors[0].revents)
        if events & POLLOUT != 0 { flush() }
        if !reading, events & (TIDEGATE_POLLRDHUP | POLLHUP | POLLERR) != 0, failure == nil { failure = .closedByPeer }
        return .ready
    }

    private func flush() {
        let sent = outbox.withUnsafeBytes { push(UnsafeRawBufferPointer(rebasing: $0[outboxStart...])) }
        outboxStart += sent
        if outboxStart == outbox.count {
            outbox.removeAll(keepingCapacity: outbox.count <= Self.keptOutbox)
            outboxStart = 0
        }
    }
}
