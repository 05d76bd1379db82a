public import EdgeAPI
public import KubernetesAPI
public import Logging
import Synchronization
public import Timing

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

    /// Who leads, in which of its terms: unlike that of any other term, also where two have the same epoch.
    public var writer: String { "\(election.identity) \(term)" }

    /// Asks the API server whether the Lease is still ours.
    /// - Throws: `LeadershipError`; `.lost` when it is not, or the term is over.
    public func prove() async throws(LeadershipError) { try await election.prove(term: term) }
}

extension LeaderElection {
    /// Writes that meet another's before releasing is given up.
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
            // Without an error somebody wrote it meanwhile.
            if let error, !error.isTransient { throw .lease("\(name)", error) }
            await time.sleep(for: election.timing.retryPeriod)
        }
    }

    /// The present term; nil when there is none.
    var leadership: Leadership? { elector.withLock { $0.termNumber }.map { Leadership(election: self, term: $0) } }

    func prove(term: Int) async throws(LeadershipError) {
        let now = time.now()
        guard elector.withLock({ $0.epoch(at: now, term: term) }) != nil else { throw .lost }
        guard case .lease(let lease) = try await use(.read) else { throw .lost }
        let readAt = time.now()
        let isOurs = elector.withLock { $0.epoch(at: readAt, term: term) != nil && $0.proves(lease, now: readAt) }
        guard isOurs else { throw .lost }
    }

    /// Gives the Lease back, if it is ours.
    func release() async {
        var lease = elector.withLock { $0.lastSeen }
        do throws(LeadershipError) {
            for _ in 0..<Self.mostConflicts {
                let (now, date) = (time.now(), time.microTime())
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
