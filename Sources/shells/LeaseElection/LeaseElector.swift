import KubernetesAPI

/// Who leads, as one candidate sees it: a pure machine that is fed with what the API server answered.
///
/// The rules are client-go's. No date of another machine is trusted: a Lease has run out when its record has not changed for
/// its duration by our own clock. We count as leader until `renewDeadline` after we *sent* the last write that succeeded,
/// which is before anybody else may take the Lease (`duration` after they *saw* that write).
struct LeaseElector: Sendable {
    typealias Instant = ContinuousClock.Instant

    /// Of the retry period, at most, added by chance while another leads (client-go's JitterFactor).
    static let jitter = 1.2

    /// What to do next within one try.
    enum Step: Equatable {
        case read
        case create(Lease.Record)
        case write(Lease.Record, onlyAt: String)
        /// The try is over.
        case rest
    }

    private struct Term {
        /// Tells our own terms apart.
        var number: Int
        var transitions: Int64
        var acquired: MicroTime
        /// Nil when nothing but another's write ends it.
        var ends: Instant?
    }

    let identity: String
    let timing: LeaderElection.Timing
    /// Takes the Lease from whoever holds it, for good, without renewing it.
    let seizes: Bool

    private var observed: Lease?
    private var observedAt: Instant?
    private var term: Term?
    private var lastTerm = 0
    private var tryBegan: Instant?
    private var isRenewal = false
    private var hasReread = false

    init(identity: String, timing: LeaderElection.Timing = LeaderElection.Timing(), seizes: Bool = false) {
        self.identity = identity
        self.timing = timing
        self.seizes = seizes
    }

    /// Who holds the Lease by the last look at it; nil when nobody does or nothing was seen.
    var holder: String? { observed.flatMap { $0.record.holder.isEmpty ? nil : $0.record.holder } }

    func leads(at now: Instant) -> Bool {
        guard let term else { return false }
        return term.ends.map { now < $0 } ?? true
    }

    /// When leading ends unless it is renewed; nil when we do not lead, and when it ends only by another's write.
    var ends: Instant? { term?.ends }

    /// The number that fences off those who led before; nil when we do not lead.
    /// - Parameter number: asks for one term of ours; nil for the present one.
    func epoch(at now: Instant, term number: Int? = nil) -> UInt64? {
        guard leads(at: now), let term, number ?? term.number == term.number else { return nil }
        return UInt64(term.transitions) + 1
    }

    /// Of the present term; nil when we do not lead.
    var termNumber: Int? { term?.number }

    // MARK: One try to acquire or renew

    /// Whether there is nothing to renew any more.
    private var isOver: Bool { isRenewal && term == nil }

    /// - Parameter renews: only keeps what we have; a term that is over stays so.
    mutating func begin(renews: Bool, now: Instant, date: MicroTime) -> Step {
        if !leads(at: now) { term = nil }
        tryBegan = now
        isRenewal = renews
        hasReread = false
        if isOver { return .rest }
        guard let term, let observed else { return .read }
        // Most likely nobody wrote it since.
        return .write(renewal(of: observed.record, term, date), onlyAt: observed.resourceVersion)
    }

    /// - Parameter lease: nil when there is none.
    mutating func read(_ lease: Lease?, now: Instant, date: MicroTime) -> Step {
        if !leads(at: now) { term = nil }
        if isOver { return .rest }
        guard let lease else {
            observed = nil
            // Deleted while we lead: our epoch must not fall with it.
            let transitions = term?.transitions ?? 0
            return .create(record(transitions: transitions, acquired: term?.acquired ?? date, date))
        }
        if observed?.record != lease.record || observedAt == nil { observedAt = now }
        observed = lease
        if let term {
            guard lease.record.holder == identity else {
                self.term = nil
                return .rest
            }
            // Somebody may have written a higher one.
            self.term?.transitions = max(term.transitions, min(lease.record.transitions, Lease.mostTransitions))
            return .write(renewal(of: lease.record, term, date), onlyAt: lease.resourceVersion)
        }
        // Our own identity, but no term of ours: an answer was lost. It counts as a new term all the same.
        let isFree = lease.record.holder.isEmpty || lease.record.holder == identity
        let duration = lease.record.duration.map { Duration.seconds($0) } ?? timing.leaseDuration
        let hasRunOut = observedAt.map { now >= $0 + duration } ?? false
        guard isFree || hasRunOut || seizes else { return .rest }
        // Somebody may have written the highest count into it. To begin anew locks nobody out: the fence at each VPS is its own.
        let transitions = lease.record.transitions < Lease.mostTransitions ? lease.record.transitions + 1 : 0
        return .write(record(transitions: transitions, acquired: date, date), onlyAt: lease.resourceVersion)
    }

    /// Our write, or creation, took effect.
    mutating func wrote(_ lease: Lease, now: Instant) -> Step {
        observed = lease
        observedAt = now
        if !leads(at: now) { term = nil }
        guard lease.record.holder == identity, !isOver else {
            term = nil
            return .rest
        }
        // From before the request: others may have seen it any time since.
        let ends = seizes ? nil : (tryBegan ?? now) + timing.renewDeadline
        let transitions = max(term?.transitions ?? 0, lease.record.transitions)
        if term == nil { lastTerm += 1 }
        term = Term(
            number: lastTerm, transitions: transitions, acquired: lease.record.acquired ?? MicroTime(microseconds: 0), ends: ends)
        if !leads(at: now) { term = nil }
        return .rest
    }

    /// Reading or writing failed.
    mutating func failed(_ error: APIError, now: Instant) -> Step {
        if !leads(at: now) { term = nil }
        // Somebody wrote the Lease, or deleted it, since we looked: look again, once.
        if error.isConflict || error.isNotFound, term != nil, !hasReread {
            hasReread = true
            return .read
        }
        return .rest
    }

    /// How long to wait for the next try.
    func pause(now: Instant, random: Double) -> Duration {
        leads(at: now) ? timing.retryPeriod : timing.retryPeriod * (1 + Self.jitter * random)
    }

    mutating func end() { term = nil }

    // MARK: Proving the term, giving the Lease back

    /// Whether a Lease that was just read shows that we still lead; if it does not, our term is over.
    /// - Parameter lease: nil when there is none.
    mutating func proves(_ lease: Lease?, now: Instant) -> Bool {
        if leads(at: now), lease?.record.holder == identity { return true }
        term = nil
        return false
    }

    /// The record that gives the Lease back (client-go's ReleaseOnCancel): nobody holds it, and it runs out in a second.
    /// - Returns: nil when it is not ours to give.
    func release(_ lease: Lease, now: Instant, date: MicroTime) -> Lease.Record? {
        guard leads(at: now), lease.record.holder == identity else { return nil }
        return Lease.Record(
            holder: "", duration: 1, acquired: date, renewed: date,
            transitions: max(lease.record.transitions, term?.transitions ?? 0))
    }

    /// As last seen.
    var lastSeen: Lease? { observed }

    private func record(transitions: Int64, acquired: MicroTime, _ date: MicroTime) -> Lease.Record {
        Lease.Record(
            holder: identity, duration: max(1, timing.leaseDuration.components.seconds), acquired: acquired, renewed: date,
            transitions: transitions)
    }

    private func renewal(of last: Lease.Record, _ term: Term, _ date: MicroTime) -> Lease.Record {
        record(transitions: max(last.transitions, term.transitions), acquired: last.acquired ?? term.acquired, date)
    }
}
