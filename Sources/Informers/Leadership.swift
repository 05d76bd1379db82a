public import EdgeAPI
public import KubernetesAPI
public import Logging
import Synchronization

/// One term of leading; ask it before each thing that only the leader may do. A later term of the same process is another.
public struct Leadership: Sendable {
    let election: LeaderElection
    let term: Int

    /// What fences off those who led before; nil when the term is over.
    public var epoch: UInt64? {
        let now = election.time.now()
        return election.elector.withLock { $0.epoch(at: now, term: term) }
    }

    /// As `epoch`.
    /// - Throws: `LeadershipError.lost` when the term is over.
    public func currentEpoch() throws(LeadershipError) -> UInt64 {
        guard let epoch else { throw .lost }
        return epoch
    }

    /// Lifts the epoch above one that was seen elsewhere, as after somebody deleted the Lease; nothing happens when it is above.
    /// - Returns: the epoch from now on.
    /// - Throws: `LeadershipError`; `.lost` when the Lease is not ours any more.
    @discardableResult public func raise(above seen: UInt64) async throws(LeadershipError) -> UInt64 {
        try await election.raise(above: seen, term: term)
    }
}

extension LeaderElection {
    /// Writes that meet another's before raising or releasing is given up.
    private static let mostConflicts = 10

    /// Takes the Lease from whoever holds it, to have an epoch without standing for election: for a controller that is
    /// known to be the only one. The Lease is not renewed, and the term does not end by itself.
    /// - Throws: `LeadershipError`; while the server is away it waits.
    public static func seize(
        _ server: APIServer, _ name: ObjectName, identity: String? = nil, time: TimeSource = .system, logger: Logger
    ) async throws(LeadershipError) -> Leadership {
        let election = LeaderElection(
            server, name, identity: identity, timing: Timing(), seizes: true, time: time, logger: logger)
        while true {
            let error = await election.attempt(renews: false)
            if let leadership = election.leadership { return leadership }
            if Task.isCancelled { throw .cancelled }
            guard let error else { throw .epochTooHigh(UInt64(Lease.mostTransitions)) }
            guard error.isTransient else { throw .lease("\(name)", error) }
            await time.sleep(for: election.timing.retryPeriod)
        }
    }

    /// The present term; nil when there is none.
    var leadership: Leadership? { elector.withLock { $0.termNumber }.map { Leadership(election: self, term: $0) } }

    func raise(above seen: UInt64, term: Int) async throws(LeadershipError) -> UInt64 {
        for _ in 0..<Self.mostConflicts {
            let now = time.now()
            guard let epoch = elector.withLock({ $0.epoch(at: now, term: term) }) else { throw .lost }
            if epoch > seen { return epoch }
            guard case .lease(let lease) = try await use(.read) else { continue }
            let (readAt, date) = (time.now(), time.date())
            let step = try elector.withLock { elector throws(LeadershipError) in
                try elector.raise(above: seen, lease, now: readAt, date: date)
            }
            guard case .lease(let lease?) = try await use(step) else { continue }
            let writtenAt = time.now()
            elector.withLock { $0.raised(lease, now: writtenAt) }
        }
        throw .lease("\(name)", .unreachable("others write it all the time"))
    }

    /// Gives the Lease back, if it is ours.
    func release() async {
        var lease = elector.withLock { $0.lastSeen }
        do throws(LeadershipError) {
            for _ in 0..<Self.mostConflicts {
                let (now, date) = (time.now(), time.date())
                guard let last = lease, let record = elector.withLock({ $0.release(last, now: now, date: date) }) else { return }
                if case .lease = try await use(.write(record, onlyAt: last.resourceVersion)) {
                    elector.withLock { $0.end() }
                    logger.info("the Lease is given back")
                    return
                }
                if case .lease(let newer) = try await use(.read) { lease = newer }
            }
        } catch {
            logger.warning("the Lease is not given back: the next leader has to wait", metadata: ["cause": "\(error)"])
        }
    }

    private enum Sent {
        case lease(Lease?)
        /// Somebody wrote or deleted it meanwhile.
        case outdated
    }

    private func use(_ step: LeaseElector.Step) async throws(LeadershipError) -> Sent {
        do throws(APIError) {
            return .lease(try await send(step))
        } catch {
            if error.isConflict || error.isNotFound { return .outdated }
            if error == .cancelled { throw .cancelled }
            throw .lease("\(name)", error)
        }
    }
}
