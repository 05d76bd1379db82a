import EnvoyConfig
import NetworkTypes
import NodeDocument
import Sodium

/// Decides when an uplink is asked, whether it is well, and what it forwards; `RunProber` does the asking. All times are milliseconds of
/// one clock that never steps.
///
/// One success brings an uplink back. What takes it out: a 503 at once, `unhealthyThreshold` refusals in a row, or silence. A probe is a
/// new connection, which a path that loses one packet in five fails with one time in five: so a probe that is late calls for more, and
/// only when all of them are lost is it silence (4.5 s after the fall, with the defaults).
struct UplinkWatch {
    enum Health: Hashable {
        /// Not heard of yet; not used.
        case unknown
        case healthy
        /// It answers, and not 200.
        case notReady
        case silent
    }

    enum Answer: Hashable {
        /// An HTTP status, and `x-tidegate-status` and `x-tidegate-document`; nil from an uplink that has no such header.
        case status(Int, UInt64?, SHA256Digest? = nil)
        /// Refused, reset, or no HTTP: somebody answered.
        case refused
    }

    enum Event {
        case tick
        case answered(id: Int, Answer)
        /// `/status`; nil when it did not come, or cannot be read.
        case fetched(id: Int, UplinkReport?)
    }

    enum Action: Hashable {
        case probe(id: Int, IPv4Address)
        case fetch(id: Int, IPv4Address)
        /// Its answer is not waited for any more.
        case drop(id: Int)
    }

    /// One way to an uplink: where it has two, each is judged by itself.
    struct Uplink {
        let ordinal: Int
        let address: IPv4Address
        /// Envoy's.
        fileprivate(set) var priority = 0
        fileprivate(set) var health = Health.unknown
        /// The last that it said of itself on `/status`; nil before the first, and from one that does not tell when that changes.
        fileprivate(set) var report: UplinkReport?
        /// The bindings of that report; nil for all.
        fileprivate(set) var forwards: Set<String>?
        /// Whether `forwards` is what it says, and not that it was not asked yet.
        fileprivate(set) var isKnown = false
        /// What it has in force, by its last answer; nil where it did not say.
        fileprivate(set) var document: SHA256Digest?
        /// Whether that is what forwards all bindings.
        fileprivate(set) var isCurrent = false
        fileprivate var failures = 0
        fileprivate var refusals = 0
        fileprivate var flights: [Int: Int64] = [:]
        fileprivate var probedAt: Int64?
        fileprivate var number: UInt64?
        fileprivate var numberedAt: Int64?
        fileprivate var fetchedNumber: UInt64?
        fileprivate var fetch: (id: Int, number: UInt64, begun: Int64)?
        fileprivate var fetchedAt: Int64?

        fileprivate init(_ probed: ProbedUplink) {
            ordinal = probed.ordinal
            address = probed.address
            priority = probed.priority ?? 0
        }

        /// Whether connections of the binding find their way through it.
        func serves(_ binding: String) -> Bool {
            health == .healthy && (isCurrent || isKnown && (forwards?.contains(binding) ?? true))
        }
    }

    private(set) var probes: UplinkProbes
    private(set) var uplinks: [Uplink] = []
    /// Rises whenever an uplink's health or report, or the probes, change.
    private(set) var revision = 0
    /// Rises whenever the endpoints of some binding may have changed.
    private(set) var endpointRevision = 0
    /// Whether each uplink of the start has been heard of, or had its time: until then nothing is told, for an Envoy that served before
    /// knows better.
    private(set) var isPrimed = false
    private let begun: Int64
    private var changedAt: Int64
    private var lastID = 0
    /// Whether no uplink takes some binding's connections, as of that revision.
    private var starving = (isSo: true, revision: -1)

    /// Milliseconds after which a probe without an answer is late, and between probes then.
    private static let lateness: Int64 = 500
    private static let doubtful: Int64 = 250
    /// Between probes of an uplink that is out.
    private static let away: Int64 = 500
    /// Between probes for some seconds after a change, while some binding waits for its first uplink.
    private static let eager: Int64 = 200
    private static let eagerness: Int64 = 10_000
    /// Probes in a row that must be lost for silence.
    private static let silence = 6
    /// Probes in flight of one uplink at most.
    private static let flightLimit = 8
    /// Between two questions for `/status`, how long an answer may take, and after which it is asked for though nothing changed.
    private static let fetchInterval: Int64 = 1000
    /// While somebody waits, the interval is a millisecond for each so many bindings, from `eager` on: long answers take long to read.
    private static let bindingsPerMillisecond: Int64 = 5
    /// After a change of an uplink that has all in force: what it says is long with thousands of bindings, and others wait meanwhile.
    private static let settling: Int64 = 500
    private static let fetchTimeout: Int64 = 10_000
    private static let refresh: Int64 = 60_000

    init(_ probes: UplinkProbes, now: Int64) {
        self.probes = probes
        begun = now
        changedAt = now
        uplinks = probes.uplinks.map { Uplink($0) }
    }

    /// Takes other probes; what is known of an uplink that stays is kept.
    /// - Returns: what those that are gone were asked.
    mutating func set(_ probes: UplinkProbes, now: Int64) -> [Action] {
        if probes == self.probes { return [] }
        let known = uplinks
        self.probes = probes
        changedAt = now
        change()
        uplinks = probes.uplinks.map { wanted in
            var uplink = known.first { $0.ordinal == wanted.ordinal && $0.address == wanted.address } ?? Uplink(wanted)
            uplink.priority = wanted.priority ?? 0
            return uplink
        }
        for index in uplinks.indices { uplinks[index].isCurrent = isCurrent(uplinks[index].document) }
        let kept = Set(uplinks.flatMap(\.pending))
        return known.flatMap(\.pending).filter { !kept.contains($0) }.sorted().map { .drop(id: $0) }
    }

    mutating func handle(_ event: Event, now: Int64) -> [Action] {
        var actions: [Action] = []
        switch event {
        case .tick: break
        case .answered(let id, let answer):
            guard let index = uplinks.firstIndex(where: { $0.flights[id] != nil }) else { break }
            uplinks[index].flights[id] = nil
            note(index, answer, now)
        case .fetched(let id, let report):
            guard let index = uplinks.firstIndex(where: { $0.fetch?.id == id }), let fetch = uplinks[index].fetch else { break }
            fetched(index, report, fetch.number, now)
        }
        lookWhoStarves(now)
        for index in uplinks.indices {
            for (id, begun) in uplinks[index].flights.sorted(by: { $0.key < $1.key })
            where now - begun >= Int64(probes.probing.timeoutMilliseconds) {
                uplinks[index].flights[id] = nil
                actions.append(.drop(id: id))
                fail(index, isRefusal: false)
            }
            if let fetch = uplinks[index].fetch, now - fetch.begun >= Self.fetchTimeout {
                actions.append(.drop(id: fetch.id))
                fetched(index, nil, fetch.number, now)
            }
            ask(index, now, &actions)
        }
        if !isPrimed {
            let isHeard = uplinks.allSatisfy { $0.health != .unknown && ($0.health != .healthy || $0.isKnown || $0.isCurrent) }
            if isHeard || now - begun >= Int64(probes.probing.timeoutMilliseconds) + Self.fetchInterval {
                isPrimed = true
                change()
            }
        }
        return actions
    }

    /// The next moment at which `tick` finds something to do.
    func wakeUp(now: Int64) -> Int64 {
        var next = now + 1000
        for uplink in uplinks {
            next = min(next, due(uplink, now))
            for begun in uplink.flights.values { next = min(next, begun + Int64(probes.probing.timeoutMilliseconds)) }
        }
        return max(next, now + 1)
    }

    /// A binding's endpoints; nil for one that is not known, or while nothing may be told yet.
    func assignment(_ binding: String) -> LoadAssignment? {
        guard isPrimed, let port = probes.tunnelPorts[binding] else { return nil }
        return LoadAssignment(
            cluster: binding,
            endpoints: uplinks.map {
                LoadAssignment.Endpoint(
                    address: $0.address, port: port, isHealthy: $0.serves(binding), priority: $0.priority)
            })
    }

    // MARK: answers

    private func isCurrent(_ document: SHA256Digest?) -> Bool { document != nil && document == probes.document }

    private mutating func note(_ index: Int, _ answer: Answer, _ now: Int64) {
        switch answer {
        case .status(200, let number, let document):
            uplinks[index].failures = 0
            uplinks[index].refusals = 0
            become(index, .healthy)
            heard(index, number, document, now)
        case .status(503, let number, let document):
            uplinks[index].failures = 0
            uplinks[index].refusals = 0
            become(index, .notReady)
            heard(index, number, document, now)
        case .status, .refused: fail(index, isRefusal: true)
        }
    }

    private mutating func heard(_ index: Int, _ number: UInt64?, _ document: SHA256Digest?, _ now: Int64) {
        if uplinks[index].document != document {
            uplinks[index].document = document
            uplinks[index].isCurrent = isCurrent(document)
            change()
        }
        if uplinks[index].number != number { uplinks[index].numberedAt = now }
        uplinks[index].number = number
        guard number == nil else { return }
        // It does not tell when its status changes: what it said once would grow old.
        if uplinks[index].report != nil || !uplinks[index].isKnown { change() }
        uplinks[index].report = nil
        uplinks[index].forwards = nil
        uplinks[index].isKnown = true
    }

    private mutating func fail(_ index: Int, isRefusal: Bool) {
        uplinks[index].failures += 1
        uplinks[index].refusals = isRefusal ? uplinks[index].refusals + 1 : 0
        let isOut =
            uplinks[index].refusals >= probes.probing.unhealthyThreshold
            || uplinks[index].failures >= max(probes.probing.unhealthyThreshold, Self.silence)
        switch uplinks[index].health {
        case .unknown: become(index, .silent)
        case .healthy, .notReady: if isOut { become(index, .silent) }
        case .silent: break
        }
    }

    private mutating func change() {
        revision += 1
        endpointRevision += 1
    }

    private mutating func become(_ index: Int, _ health: Health) {
        guard uplinks[index].health != health else { return }
        uplinks[index].health = health
        change()
    }

    private mutating func fetched(_ index: Int, _ report: UplinkReport?, _ number: UInt64, _ now: Int64) {
        uplinks[index].fetch = nil
        guard let report else {
            // It may be too long each time.
            uplinks[index].fetchedAt = now + Self.fetchTimeout
            // Better all of its bindings through it than none.
            if !uplinks[index].isKnown { change() }
            uplinks[index].isKnown = true
            return
        }
        uplinks[index].fetchedNumber = number
        let forwards = Set(report.targets.map(\.binding))
        let isKnown = uplinks[index].isKnown
        if !isKnown || uplinks[index].forwards != forwards { endpointRevision += 1 }
        // With thousands of bindings a word takes long to write, and nobody reads ages and counters.
        if !isKnown || uplinks[index].report?.withoutAges != report.withoutAges { revision += 1 }
        uplinks[index].report = report
        uplinks[index].forwards = forwards
        uplinks[index].isKnown = true
    }

    // MARK: questions

    private func due(_ uplink: Uplink, _ now: Int64) -> Int64 {
        guard let last = uplink.probedAt else { return now }
        let interval = Int64(probes.probing.intervalMilliseconds)
        if isEager(now) { return last + min(Self.eager, interval) }
        switch uplink.health {
        case .unknown, .notReady, .silent: return last + min(Self.away, interval)
        case .healthy: break
        }
        var due = last + interval
        if uplink.failures > 0 { due = min(due, last + Self.doubtful) }
        if let oldest = uplink.flights.values.min() { due = min(due, max(oldest + Self.lateness, last + Self.doubtful)) }
        return due
    }

    /// Whether somebody waits for an uplink to take a new binding up.
    private func isEager(_ now: Int64) -> Bool {
        now - changedAt < Self.eagerness && starving.isSo
    }

    private mutating func lookWhoStarves(_ now: Int64) {
        guard now - changedAt < Self.eagerness, starving.revision != endpointRevision else { return }
        let isSo = probes.tunnelPorts.keys.contains { name in !uplinks.contains { $0.serves(name) } }
        starving = (isSo, endpointRevision)
    }

    private func fetchInterval(_ now: Int64) -> Int64 {
        guard isEager(now) else { return Self.fetchInterval }
        return min(max(Self.eager, Int64(probes.tunnelPorts.count) / Self.bindingsPerMillisecond), Self.fetchInterval)
    }

    private mutating func ask(_ index: Int, _ now: Int64, _ actions: inout [Action]) {
        if due(uplinks[index], now) <= now {
            if uplinks[index].flights.count >= Self.flightLimit, uplinks[index].health == .silent,
                let oldest = uplinks[index].flights.min(by: { $0.key < $1.key })?.key
            {
                // Of an uplink that is away a new question finds out sooner than an old one that the kernel repeats ever more rarely.
                uplinks[index].flights[oldest] = nil
                actions.append(.drop(id: oldest))
            }
            if uplinks[index].flights.count < Self.flightLimit {
                lastID += 1
                uplinks[index].flights[lastID] = now
                actions.append(.probe(id: lastID, uplinks[index].address))
            }
            uplinks[index].probedAt = now
        }
        guard let number = uplinks[index].number, uplinks[index].fetch == nil else { return }
        let age = uplinks[index].fetchedAt.map { now - $0 } ?? Self.refresh
        guard age >= (number != uplinks[index].fetchedNumber ? fetchInterval(now) : Self.refresh) else { return }
        if uplinks[index].isCurrent, uplinks[index].isKnown, let changed = uplinks[index].numberedAt,
            now - changed < Self.settling
        {
            return
        }
        lastID += 1
        uplinks[index].fetch = (lastID, number, now)
        uplinks[index].fetchedAt = now
        actions.append(.fetch(id: lastID, uplinks[index].address))
    }
}

extension UplinkWatch.Uplink {
    /// The questions without an answer yet.
    fileprivate var pending: [Int] { Array(flights.keys) + (fetch.map { [$0.id] } ?? []) }
}

extension UplinkReport {
    fileprivate var withoutAges: UplinkReport {
        var report = self
        (report.handshakeAge, report.receivedBytes, report.sentBytes) = (nil, 0, 0)
        return report
    }
}
