public import EdgeAPI
import Glibc
public import KubernetesAPI
public import Logging
import ServiceLifecycle
import Synchronization
public import Timing

/// Elects one leader among the processes that use the same Lease, by client-go's rules and with its Lease: 15 s, 10 s, 2 s.
///
/// What it promises:
/// - **Leading ends before another may begin.** `Leadership.epoch` looks at the clock each time: it is nil from 10 s after the
///   last renewal was sent, also in a process that was stopped and has just woken up; others wait for 15 s from when they saw
///   that renewal. What was sent before may still be on its way: that is what the epoch is for.
/// - **The epoch rises** with each term, whoever leads, as `leaseTransitions` does, and never falls while one leads. After
///   somebody deleted the Lease, or wrote the highest count into it, it begins anew: who leads can still `prove` it, and settles
///   with each VPS for itself (`WriterFence`). Nothing but a term moves it: no number that a VPS tells gets here.
/// - **The Lease is given back** when the work is done, and only then: the next leader need not wait.
/// - No date of another machine is trusted, and none of ours matters.
public final class LeaderElection: Sendable {
    /// client-go's defaults.
    public struct Timing: Hashable, Sendable {
        /// How long others leave an unrenewed Lease alone.
        public var leaseDuration: Duration = .seconds(15)
        /// How long one leads after the last renewal; less than `leaseDuration`.
        public var renewDeadline: Duration = .seconds(10)
        /// Between two tries.
        public var retryPeriod: Duration = .seconds(2)

        public init() {}
    }

    /// Of the Lease.
    public let name: ObjectName
    /// Unlike that of any other process, also of the next one on this host.
    public let identity: String
    let server: APIServer
    let time: TimeSource
    let logger: Logger
    let timing: Timing
    let elector: Mutex<LeaseElector>
    /// A request that takes longer has failed (client-go: half of the renew deadline).
    private var requestLimit: Duration { timing.renewDeadline / 2 }

    /// - Parameters:
    ///   - name: of the Lease; its namespace must be there.
    ///   - identity: nil makes one of the host's name and a random id.
    public convenience init(
        _ server: APIServer, _ name: ObjectName, identity: String? = nil, timing: Timing = Timing(),
        time: TimeSource = .system, logger: Logger
    ) {
        self.init(server, name, identity: identity, timing: timing, seizes: false, time: time, logger: logger)
    }

    init(
        _ server: APIServer, _ name: ObjectName, identity: String?, timing: Timing, seizes: Bool, time: TimeSource,
        logger: Logger
    ) {
        self.server = server
        self.name = name
        self.identity = identity ?? Self.makeIdentity()
        self.timing = timing
        self.time = time
        var logger = logger
        logger[metadataKey: "lease"] = "\(name)"
        self.logger = logger
        elector = Mutex(LeaseElector(identity: self.identity, timing: timing, seizes: seizes))
    }

    public var isLeader: Bool {
        let now = time.now()
        return elector.withLock { $0.leads(at: now) }
    }

    /// Who held the Lease when it was last seen; nil when nobody did.
    public var holder: String? { elector.withLock { $0.holder } }

    /// Waits to be elected, then does `work` for as long as that lasts.
    ///
    /// Returns when the work is done or, before any began, at a graceful shutdown. A graceful shutdown leaves the work running,
    /// and the Lease renewed, until it ends by itself.
    /// - Throws: `LeadershipError.lost` after the work, which was cancelled, has ended; what `work` throws.
    public func run(_ work: @escaping @Sendable (Leadership) async throws -> Void) async throws {
        let isElected = await cancelWhenGracefulShutdown { await self.acquire() }
        guard isElected, let leadership else { return }
        let result = await lead { try await work(leadership) }
        // Also when this task is cancelled, the Lease is given back.
        await Task { await self.release() }.value
        try result.get()
    }

    private func acquire() async -> Bool {
        logger.info("waiting to become the leader", metadata: ["identity": "\(identity)"])
        var seen: String?
        while !Task.isCancelled {
            await attempt(renews: false)
            let (now, random) = (time.now(), time.random())
            let (epoch, holder, pause) = elector.withLock {
                ($0.epoch(at: now), $0.holder, $0.pause(now: now, random: random))
            }
            if let epoch {
                logger.info("leading", metadata: ["epoch": "\(epoch)"])
                return true
            }
            if let holder, holder != seen, holder != identity { logger.info("another leads", metadata: ["leader": "\(holder)"]) }
            seen = holder
            await time.sleep(for: pause)
        }
        return false
    }

    private enum Ending: Sendable {
        case work(Result<Void, any Error>)
        case lost
        case cancelled
    }

    private func lead(_ work: @escaping @Sendable () async throws -> Void) async -> Result<Void, any Error> {
        await withTaskGroup(of: Ending.self) { group in
            group.addTask {
                do {
                    return .work(.success(try await work()))
                } catch {
                    return .work(.failure(error))
                }
            }
            group.addTask { await self.renew() }
            group.addTask { await self.watchTerm() }
            var result: Result<Void, any Error>?
            var isLost = false
            for await ending in group {
                switch ending {
                case .work(let end): result = end
                case .lost:
                    guard result == nil else { continue }
                    elector.withLock { $0.end() }
                    isLost = true
                    logger.error("leadership is lost")
                case .cancelled: continue
                }
                group.cancelAll()
            }
            return isLost ? .failure(LeadershipError.lost) : result ?? .success(())
        }
    }

    /// Renews until leadership is lost or the task cancelled.
    private func renew() async -> Ending {
        while true {
            let (now, random) = (time.now(), time.random())
            let pause = elector.withLock { $0.leads(at: now) ? $0.pause(now: now, random: random) : nil }
            guard let pause else { return .lost }
            await time.sleep(for: pause)
            if Task.isCancelled { return .cancelled }
            await attempt(renews: true)
            if Task.isCancelled { return .cancelled }
        }
    }

    /// Ends leading in time also when a request hangs.
    private func watchTerm() async -> Ending {
        while true {
            let now = time.now()
            guard let ends = elector.withLock({ $0.leads(at: now) ? $0.ends : nil }) else { return .lost }
            await time.sleep(ends)
            if Task.isCancelled { return .cancelled }
        }
    }

    /// One try to acquire or renew. Returns the last failure.
    @discardableResult func attempt(renews: Bool) async -> APIError? {
        let (now, date) = (time.now(), time.microTime())
        var step = elector.withLock { $0.begin(renews: renews, now: now, date: date) }
        var failure: APIError?
        while step != .rest {
            do throws(APIError) {
                let lease = try await send(step)
                let (now, date) = (time.now(), time.microTime())
                step = try elector.withLock { elector throws(APIError) in
                    if case .read = step { return elector.read(lease, now: now, date: date) }
                    guard let lease else { throw .malformed("no Lease in the answer to a write of one") }
                    return elector.wrote(lease, now: now)
                }
            } catch {
                failure = error
                if Task.isCancelled { break }
                let now = time.now()
                step = elector.withLock { $0.failed(error, now: now) }
                logger.log(
                    level: error.isConflict ? .debug : .warning, "the Lease cannot be used",
                    metadata: ["cause": "\(error)"])
            }
        }
        return failure
    }

    /// - Returns: the Lease as it is after the step; nil when there is none.
    func send(_ step: LeaseElector.Step) async throws(APIError) -> Lease? {
        try await bounded { () throws(APIError) in
            switch step {
            case .read: return try await self.server.get(.leases, self.name).map { node throws(APIError) in try Lease(node) }
            case .create(let record):
                let manifest = Lease.manifest(record, self.name)
                return try Lease(try await self.server.create(.leases, namespace: self.name.namespace, manifest))
            case .write(let record, let version):
                return try Lease(
                    try await self.server.mergePatch(.leases, self.name, Lease.patch(record, onlyAt: version)))
            case .rest: return nil
            }
        }
    }

    private func bounded(
        _ request: @escaping @Sendable () async throws(APIError) -> Lease?
    ) async throws(APIError) -> Lease? {
        let limit = requestLimit
        let result = await withTaskGroup(of: Result<Lease?, APIError>?.self) { group in
            group.addTask {
                do throws(APIError) {
                    return .success(try await request())
                } catch {
                    return .failure(error)
                }
            }
            group.addTask {
                await self.time.sleep(for: limit)
                return Task.isCancelled ? nil : .failure(.unreachable("no answer within \(limit)"))
            }
            var result: Result<Lease?, APIError>?
            while result == nil, let outcome = await group.next() { result = outcome }
            group.cancelAll()
            return result
        }
        guard let result else { throw .cancelled }
        return try result.get()
    }
}

extension LeaderElection {
    /// The host's name and a random UUID, as controller-runtime makes it.
    private static func makeIdentity() -> String {
        var name = [CChar](repeating: 0, count: Int(HOST_NAME_MAX) + 1)
        let isNamed = gethostname(&name, name.count - 1) == 0
        let host = isNamed ? String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : "unnamed"
        var random = SystemRandomNumberGenerator()
        let digits = (0..<32).map { _ in String(random.next(upperBound: UInt8(16)), radix: 16) }.joined()
        var uuid = ""
        for (index, digit) in digits.enumerated() {
            if [8, 12, 16, 20].contains(index) { uuid += "-" }
            uuid.append(digit)
        }
        return "\(host)_\(uuid)"
    }
}
