import EdgeAPI
import KubernetesAPI
import Timing

/// What an informer asks the API server next, and when: a pure machine that is fed with what came back.
///
/// First all objects, as a watch that begins with them where the server offers that, in pages otherwise; then what changes.
/// A watch that ends goes on from the last resourceVersion it told of. Only when the server no longer knows that version
/// (410), or does not take it, are all objects asked for again.
struct Reflector<Object: Sendable>: Sendable {
    typealias Instant = ContinuousClock.Instant

    enum Request: Equatable {
        case list(limit: Int?, next: String?)
        /// - `timeout`: seconds.
        case watch(from: String?, initialEvents: Bool, timeout: Int)
    }

    enum Event {
        case put(Observed<Object>)
        case removed(ObjectName, resourceVersion: String)
        /// Something that is not kept, or a bookmark.
        case passed(resourceVersion: String)
        case initialEventsEnd(resourceVersion: String)
        case error(APIStatus)
    }

    /// What happens to the store.
    enum Effect {
        case replace([ObjectName: Observed<Object>])
        case put(Observed<Object>)
        case remove(ObjectName, resourceVersion: String)
    }

    /// Objects of a list that is not complete yet.
    private struct Collection {
        var objects: [ObjectName: Observed<Object>] = [:]
        var next: String?
        /// All in one answer, as the mark of a next page expired before (client-go's pager).
        var isWhole = false
    }

    private enum Phase {
        case collecting(Collection)
        case watching(from: String)
    }

    private struct Stream {
        var sentAt: Instant
        var lastEvent: Instant
        var timeout: Int
        var isOpen = false
        var hasProgressed = false
    }

    /// Objects in a page. Where that is longer than a page may be (`APIServer.pageLimit`), fewer are asked for, down to one by one.
    static var pageSize: Int { 200 }
    /// Seconds: the server ends a watch after a time between these two (client-go: 5 to 10 minutes).
    static var watchTimeouts: ClosedRange<Double> { 300...600 }
    /// Without any event this long, a server that should send the present objects does not know how to.
    static var initialEventsPatience: Duration { .seconds(60) }
    /// A server that does not end a watch this long after it should have is not there any more.
    static var timeoutPatience: Duration { .seconds(30) }
    /// A watch that ends sooner than this and told of nothing counts as a failure (client-go's "very short watch").
    static var shortWatch: Duration { .seconds(1) }
    /// Streams of the present objects that break off before lists are used instead.
    static var mostBrokenStreams: Int { 3 }

    private var phase = Phase.collecting(Collection())
    private var offersInitialEvents: Bool
    private var brokenStreams = 0
    private var pageSize = Reflector.pageSize
    private var backoff = Backoff()
    private var stream: Stream?
    private(set) var isSynced = false
    /// The last failure; nil once something succeeded after it.
    private(set) var problem: APIError?

    init(initialEvents: Bool = true) { offersInitialEvents = initialEvents }

    /// Whether a list is under way or wanted.
    var isCollecting: Bool { if case .collecting = phase { true } else { false } }
    /// Whether that list has brought nothing yet.
    var isAtStart: Bool { if case .collecting(let list) = phase { list.objects.isEmpty && list.next == nil } else { false } }

    /// The next request; its outcome goes to `page`, `opened` or `failed`.
    mutating func request(now: Instant, random: Double) -> Request {
        switch phase {
        case .collecting(let list) where !offersInitialEvents:
            stream = nil
            return .list(limit: list.isWhole ? nil : pageSize, next: list.next)
        case .collecting:
            phase = .collecting(Collection())
            return watch(from: nil, initialEvents: true, now: now, random: random)
        case .watching(let version): return watch(from: version, initialEvents: false, now: now, random: random)
        }
    }

    private mutating func watch(from version: String?, initialEvents: Bool, now: Instant, random: Double) -> Request {
        let range = Self.watchTimeouts
        let timeout = Int(range.lowerBound + (range.upperBound - range.lowerBound) * random)
        stream = Stream(sentAt: now, lastEvent: now, timeout: timeout)
        return .watch(from: version, initialEvents: initialEvents, timeout: timeout)
    }

    /// A page of a list came; ask for the next request at once.
    mutating func page(_ objects: [Observed<Object>], resourceVersion: String, next: String?) -> Effect? {
        problem = nil
        guard case .collecting(var list) = phase else { return nil }
        // Let go of, so that `list` is changed in place.
        phase = .collecting(Collection())
        for object in objects { list.objects[object.name] = object }
        list.next = next
        guard next == nil else {
            phase = .collecting(list)
            return nil
        }
        return complete(list, resourceVersion: resourceVersion)
    }

    private mutating func complete(_ list: Collection, resourceVersion: String) -> Effect {
        phase = .watching(from: resourceVersion)
        pageSize = Self.pageSize
        isSynced = true
        brokenStreams = 0
        return .replace(list.objects)
    }

    /// The server took the watch.
    mutating func opened(now: Instant) {
        problem = nil
        backoff.succeeded(now: now)
        stream?.isOpen = true
    }

    /// - Returns: what it changes, and, when it ends the watch, how long to wait before the next request.
    mutating func event(_ event: Event, now: Instant, random: Double) -> (effect: Effect?, wait: Duration?) {
        stream?.lastEvent = now
        if case .error(let status) = event { return (nil, failed(.status(status), now: now, random: random)) }
        return (isCollecting ? collect(event) : follow(event), nil)
    }

    private mutating func collect(_ event: Event) -> Effect? {
        guard case .collecting(var list) = phase else { return nil }
        phase = .collecting(Collection())
        switch event {
        case .put(let object): list.objects[object.name] = object
        case .removed(let name, _): list.objects[name] = nil
        case .initialEventsEnd(let version):
            stream?.hasProgressed = true
            return complete(list, resourceVersion: version)
        case .passed, .error: break
        }
        phase = .collecting(list)
        return nil
    }

    private mutating func follow(_ event: Event) -> Effect? {
        switch event {
        case .put(let object):
            proceed(to: object.resourceVersion)
            return .put(object)
        case .removed(let name, let version):
            proceed(to: version)
            return .remove(name, resourceVersion: version)
        case .passed(let version), .initialEventsEnd(let version): proceed(to: version)
        case .error: break
        }
        return nil
    }

    private mutating func proceed(to version: String) {
        guard case .watching(let before) = phase, version != before, !version.isEmpty else { return }
        phase = .watching(from: version)
        stream?.hasProgressed = true
    }

    /// When the watch counts as dead although nothing ended it; nil when there is none.
    var deadline: Instant? {
        stream.map { stream in
            isCollecting
                ? stream.lastEvent + Self.initialEventsPatience
                : stream.sentAt + .seconds(stream.timeout) + Self.timeoutPatience
        }
    }

    /// The deadline passed. Returns how long to wait before the next request.
    mutating func silent(now: Instant, random: Double) -> Duration {
        if isCollecting {
            // A server that does not know the option at all sends the objects, but never the mark after them.
            offersInitialEvents = false
            phase = .collecting(Collection())
            return .zero
        }
        return closed(.unreachable("the watch fell silent"), now: now, random: random)
    }

    /// An open watch came to its end. Returns how long to wait before the next request.
    /// - Parameter error: nil when the server closed it in good order.
    mutating func closed(_ error: APIError?, now: Instant, random: Double) -> Duration {
        if isCollecting { return failed(error ?? .unreachable("the list broke off"), now: now, random: random) }
        guard let stream = stream.take() else { return .zero }
        let lived = now - stream.sentAt
        if lived < Self.shortWatch && !stream.hasProgressed {
            problem = error ?? .unreachable("the server ends the watch as soon as it begins")
            return backoff.next(now: now, random: random, retryAfter: nil)
        }
        if error != nil {
            // Many watches may have been cut at once.
            return .milliseconds(500) * random
        }
        if !stream.hasProgressed && lived >= .seconds(stream.timeout - 5) {
            // Not even the bookmark of each minute: a version from the future, as after a restored backup, gets silence.
            phase = .collecting(Collection())
        }
        return .zero
    }

    /// A request failed, or a watch ended with an error of the server. Returns how long to wait before the next request.
    mutating func failed(_ error: APIError, now: Instant, random: Double) -> Duration {
        let stream = stream.take()
        let code = error.status?.code
        problem = error
        switch phase {
        case .collecting where offersInitialEvents:
            phase = .collecting(Collection())
            if let code, [400, 405, 415, 422, 501].contains(code) {
                offersInitialEvents = false
                return .zero
            }
            if stream?.isOpen == true { brokenStreams += 1 }
            if brokenStreams >= Self.mostBrokenStreams { offersInitialEvents = false }
        case .collecting(let list):
            if case .malformed = error, list.isWhole || pageSize > 1 {
                pageSize = max(1, pageSize / 4)
                // All of it was too much at once.
                if list.isWhole { phase = .collecting(Collection()) } else { return .zero }
            }
            if code == 410 || code == 400 || code == 422 {
                let hadNext = list.next != nil
                phase = .collecting(Collection(isWhole: hadNext || list.isWhole))
                if hadNext && code == 410 { return .zero }
            }
        case .watching:
            // 400 and 422 refuse the version itself; after 404 the kind is made anew.
            if let code, [400, 404, 410, 422].contains(code) { phase = .collecting(Collection()) }
        }
        return backoff.next(now: now, random: random, retryAfter: error.status?.retryAfter)
    }
}
