import EdgeAPI
import KubernetesAPI

/// Which Events are written when: a pure machine between those who have something to tell and the API server.
///
/// The same thing told again within 6 minutes becomes a series: one Event whose count rises.
struct EventAggregator: Sendable {
    typealias Instant = ContinuousClock.Instant

    enum Step: Equatable {
        case create(EventRecord)
        case patch(EventRecord)
        /// Nothing to write before that time, or before something is told; nil when nothing is planned.
        case wait(until: Instant?)
    }

    enum Outcome: Equatable {
        case written
        /// Somebody else's Event has that name.
        case nameTaken
        /// The Event is not there any more: the server keeps them for an hour.
        case gone
        /// To be tried again later.
        case failed
        /// No use in trying again.
        case refused
    }

    // client-go's: a series ends after 6 minutes; 25 new Events an object at once, and one every 5 minutes after that; 12 tries.
    static let seriesEnd: Duration = .seconds(360)
    static let burst = 25.0
    static let refill: Duration = .seconds(300)
    static let mostTries = 12
    /// Between two writes of the same series.
    static let patchPause: Duration = .seconds(60)
    /// Series in memory; what is told beyond that is dropped. A namespace has as many as are free for others, half of them at most.
    static let mostSeries = 1000
    private static let sweepPause: Duration = .seconds(60)

    private struct Series {
        var record: EventRecord
        var lastTold: Instant
        var isCreated = false
        /// Nil when the server knows it all.
        var due: Instant?
        var lastPatch: Instant?
        var tries = 0
    }

    private struct Bucket {
        var tokens = EventAggregator.burst
        var filled: Instant
    }

    private var series: [EventDraft: Series] = [:]
    /// Not created yet, in the order told.
    private var creations: [EventDraft] = []
    private var buckets: [ObjectReference: Bucket] = [:]
    private var lastStamp: Int64 = 0
    private var lastSweep: Instant?
    /// What was told and never written.
    private(set) var dropped = 0

    mutating func tell(_ draft: EventDraft, now: Instant, date: MicroTime) {
        sweep(now: now)
        if var known = series[draft], now - known.lastTold < Self.seriesEnd {
            known.record.count += 1
            known.record.last = date
            known.lastTold = now
            if known.isCreated, known.due == nil { known.due = max(now, known.lastPatch.map { $0 + Self.patchPause } ?? now) }
            series[draft] = known
            return
        }
        guard series[draft] != nil || hasRoom(draft.namespace), takeToken(draft.regarding, now: now) else {
            dropped += 1
            return
        }
        let record = EventRecord(name: name(draft, date: date), draft: draft, first: date, last: date, count: 1)
        // An old series of the same goes; what of it was not written yet is no news any more.
        if series[draft]?.isCreated != false { creations.append(draft) }
        series[draft] = Series(record: record, lastTold: now)
    }

    func next(now: Instant) -> Step {
        if let draft = creations.first, let new = series[draft] { return .create(new.record) }
        guard let next = series.values.filter({ $0.due != nil }).min(by: { ($0.due ?? now) < ($1.due ?? now) }),
            let due = next.due
        else { return .wait(until: nil) }
        return due <= now ? .patch(next.record) : .wait(until: due)
    }

    /// Writes of series that wait for their time come at once.
    mutating func hurry(now: Instant) {
        for draft in series.keys where series[draft]?.due != nil { series[draft]?.due = now }
    }

    /// - Parameter written: as `next` gave it.
    mutating func finish(_ written: EventRecord, _ outcome: Outcome, now: Instant, date: MicroTime) {
        guard var known = series[written.draft], known.record.name == written.name else {
            // Told anew meanwhile.
            return
        }
        let wasCreation = !known.isCreated
        switch outcome {
        case .written:
            known.tries = 0
            known.isCreated = true
            known.lastPatch = wasCreation ? nil : now
            known.due = known.record.count == written.count ? nil : now + (wasCreation ? .zero : Self.patchPause)
        case .nameTaken, .gone:
            known.tries += 1
            known.record.name = name(written.draft, date: date)
            known.isCreated = false
            known.due = nil
        case .failed: known.tries += 1
        case .refused: known.tries = Self.mostTries
        }
        if wasCreation && (known.isCreated || known.tries >= Self.mostTries) { creations.removeAll { $0 == written.draft } }
        if !wasCreation && !known.isCreated { creations.append(written.draft) }
        if known.tries >= Self.mostTries {
            dropped += wasCreation ? known.record.count : 1
            known.due = nil
            known.tries = 0
            // What cannot be written now is not tried again as a series, but as a new Event when it is told again.
            creations.removeAll { $0 == written.draft }
            series[written.draft] = nil
            return
        }
        series[written.draft] = known
    }

    /// Whether one more series of the namespace fits, so that nobody keeps all others from being heard.
    private func hasRoom(_ namespace: String) -> Bool {
        let free = Self.mostSeries - series.count
        return free > Self.mostSeries / 2 || series.keys.count { $0.namespace == namespace } < free
    }

    private mutating func takeToken(_ object: ObjectReference, now: Instant) -> Bool {
        var bucket = buckets[object] ?? Bucket(filled: now)
        bucket.tokens = min(Self.burst, bucket.tokens + (now - bucket.filled) / Self.refill)
        bucket.filled = now
        let hasToken = bucket.tokens >= 1
        if hasToken { bucket.tokens -= 1 }
        buckets[object] = bucket
        return hasToken
    }

    private mutating func sweep(now: Instant) {
        if let lastSweep, now - lastSweep < Self.sweepPause { return }
        lastSweep = now
        series = series.filter { !$0.value.isCreated || $0.value.due != nil || now - $0.value.lastTold < Self.seriesEnd }
        buckets = buckets.filter { (now - $0.value.filled) / Self.refill + $0.value.tokens < Self.burst }
    }

    /// `OBJECT.HEX`, the object's name and the time in nanoseconds, as client-go names Events; within 253 bytes.
    private mutating func name(_ draft: EventDraft, date: MicroTime) -> ObjectName {
        lastStamp = max(lastStamp + 1, date.microseconds * 1000)
        let stamp = String(lastStamp, radix: 16)
        let object = shortened(draft.regarding.name.name, to: 253 - 1 - stamp.utf8.count, mark: "")
        return ObjectName(namespace: draft.namespace, name: "\(object).\(stamp)")
    }
}
