import Glibc
import NetworkTypes
import Synchronization
import Syscalls

/// The thread that owns a connection's session, and the queue of commands for it.
///
/// libssh2 wants one thread at a time in a session, also while a call waits to be continued: here it is always the same
/// one, and Swift's pool is never blocked.
final class ConnectionThread: Sendable {
    typealias Outcome = Result<ExecResult, SSHError>
    typealias Opening = Result<HostKey, SSHError>

    private struct Job {
        let id: UInt64
        let request: ExecRequest
        let continuation: CheckedContinuation<Outcome, Never>
    }

    private struct State {
        var queue: [Job] = []
        var running: UInt64?
        /// Cancelled while running, or before it was queued.
        var cancelled: Set<UInt64> = []
        var isCancelledWhileOpening = false
        var isClosing = false
        /// Why the connection is no more; nil while it is.
        var ending: SSHError?
        var waitingForEnd: [CheckedContinuation<Void, Never>] = []
    }

    let endpoint: Endpoint
    let statistics = Wire.Statistics()
    private let wake: WakeSignal
    private let state = Mutex(State())

    init(endpoint: Endpoint) throws(SSHError) {
        self.endpoint = endpoint
        do { wake = try WakeSignal() } catch { throw endpoint.failure(.outOfResources("eventfd: \(errnoText(error.code))")) }
    }

    var isAlive: Bool { state.withLock { $0.ending == nil && !$0.isClosing } }

    /// Starts the thread and connects.
    /// - Parameter socket: makes a socket of that family, whose calls never wait.
    func open(
        credentials: SSHCredentials, policy: HostKeyPolicy, timeouts: SSHTimeouts, socket: @escaping Dialer.Socket
    ) async -> Opening {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                do throws(SystemFailure) {
                    try startThread(named: "ssh-connection") { [self] in
                        run(opened: continuation) { () throws(SSHError) in
                            try Session.establish(
                                endpoint, credentials: credentials, policy: policy, timeouts: timeouts,
                                socket: socket, statistics: statistics, wake: wake, interruption: interruption)
                        }
                    }
                } catch {
                    let failure = endpoint.failure(.outOfResources("no thread for a connection: \(errnoText(error.code))"))
                    finish(failure)
                    continuation.resume(returning: .failure(failure))
                }
            }
        } onCancel: {
            state.withLock { $0.isCancelledWhileOpening = true }
            wake.raise()
        }
    }

    /// Queues a command and waits for its end.
    func execute(_ request: ExecRequest) async -> Outcome {
        let id = Self.nextID.wrappingAdd(1, ordering: .relaxed).newValue
        return await withTaskCancellationHandler {
            await withCheckedContinuation { enqueue(Job(id: id, request: request, continuation: $0)) }
        } onCancel: {
            cancel(id)
        }
    }

    /// Ends the connection; a command that runs fails.
    func requestClose() {
        state.withLock { $0.isClosing = true }
        wake.raise()
    }

    /// Returns once the session is gone.
    func waitForEnd() async {
        await withCheckedContinuation { continuation in
            let isOver = state.withLock {
                if $0.ending == nil { $0.waitingForEnd.append(continuation) }
                return $0.ending != nil
            }
            if isOver { continuation.resume() }
        }
    }

    // MARK: the queue

    private static let nextID = Atomic<UInt64>(0)

    private func enqueue(_ job: Job) {
        let refusal: SSHError.Reason? = state.withLock {
            if $0.cancelled.remove(job.id) != nil { return .cancelled(during: .running(command: job.request.name)) }
            if let ending = $0.ending { return ending.reason }
            if $0.isClosing { return .closed }
            $0.queue.append(job)
            return nil
        }
        if let refusal {
            job.continuation.resume(returning: .failure(endpoint.failure(refusal)))
        } else {
            wake.raise()
        }
    }

    private func cancel(_ id: UInt64) {
        let waiting: Job? = state.withLock {
            if let index = $0.queue.firstIndex(where: { $0.id == id }) { return $0.queue.remove(at: index) }
            $0.cancelled.insert(id)
            return nil
        }
        waiting?.continuation.resume(
            returning: .failure(endpoint.failure(.cancelled(during: .running(command: waiting?.request.name ?? "")))))
        wake.raise()
    }

    private func interruption() -> Session.Interruption? {
        state.withLock {
            if $0.isClosing { return .closing }
            if $0.isCancelledWhileOpening { return .cancelled }
            return $0.running.map($0.cancelled.contains) == true ? .cancelled : nil
        }
    }

    // MARK: the thread

    private func run(
        opened: CheckedContinuation<Opening, Never>, connect: () throws(SSHError) -> (Session, HostKey)
    ) {
        let ending = converse(opened: opened, connect: connect)
        finish(ending.error)
        ending.tell(ending.error)
    }

    /// Why a connection ended, and how the first to learn of it does.
    private typealias Ending = (error: SSHError, tell: (SSHError) -> Void)

    /// Connects and runs commands until the connection ends. The session is freed by then, and nobody was told: who is may
    /// end the process.
    private func converse(
        opened: CheckedContinuation<Opening, Never>, connect: () throws(SSHError) -> (Session, HostKey)
    ) -> Ending {
        let (session, key): (Session, HostKey)
        do throws(SSHError) {
            (session, key) = try connect()
        } catch {
            return (error, { opened.resume(returning: .failure($0)) })
        }
        // From here on only commands are cancelled.
        state.withLock { $0.isCancelledWhileOpening = false }
        opened.resume(returning: .success(key))
        defer { session.disconnect() }
        do throws(SSHError) {
            while true {
                while let job = takeJob() {
                    if let error = run(job, in: session) { return (error, { job.continuation.resume(returning: .failure($0)) }) }
                }
                if state.withLock({ $0.isClosing }) { return (endpoint.failure(.closed), { _ in }) }
                try session.idle()
            }
        } catch {
            return (error, { _ in })
        }
    }

    private func takeJob() -> Job? {
        state.withLock {
            guard !$0.isClosing, !$0.queue.isEmpty else { return nil }
            let job = $0.queue.removeFirst()
            $0.running = job.id
            return job
        }
    }

    /// - Returns: an error that ends the connection; whoever waits for the command is still to be told of it.
    private func run(_ job: Job, in session: Session) -> SSHError? {
        let outcome: Outcome
        do throws(SSHError) { outcome = .success(try session.execute(job.request)) } catch { outcome = .failure(error) }
        state.withLock {
            $0.running = nil
            $0.cancelled.remove(job.id)
        }
        if case .failure(let error) = outcome {
            guard case .channelRefused = error.reason else { return error }
        }
        job.continuation.resume(returning: outcome)
        return nil
    }

    /// What later callers are told. The reason of one command's failure is not theirs.
    private static func aftermath(of error: SSHError) -> SSHError {
        switch error.reason {
        case .connectionLost, .idleTimedOut, .closed, .protocolFailure, .outOfResources: error
        default:
            SSHError(
                user: error.user, host: error.host, port: error.port,
                reason: .connectionLost(during: .idle, "an earlier command ended it: \(error.reason)"))
        }
    }

    private func finish(_ error: SSHError) {
        let (queue, waiting) = state.withLock { state in
            let ending = Self.aftermath(of: error)
            state.ending = ending
            defer {
                state.queue = []
                state.waitingForEnd = []
            }
            return (state.queue.map { ($0, ending) }, state.waitingForEnd)
        }
        for (job, ending) in queue { job.continuation.resume(returning: .failure(ending)) }
        for continuation in waiting { continuation.resume() }
    }
}
