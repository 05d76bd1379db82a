import EdgeAPI
import KubernetesAPI
import Testing

@testable import Informers

/// What a reflector does, written as it happens.
private struct Story {
    var reflector: Reflector<Thing>
    var now = ContinuousClock.now
    var effects: [String] = []

    init(initialEvents: Bool = true) { reflector = Reflector(initialEvents: initialEvents) }

    mutating func request() -> String {
        switch reflector.request(now: now, random: 0) {
        case .list(let limit, let next): "list \(limit.map { "\($0)" } ?? "all") \(next ?? "-")"
        case .watch(let version, let initialEvents, let timeout):
            "\(initialEvents ? "stream" : "watch") \(version ?? "-") \(timeout)s"
        }
    }

    mutating func page(_ objects: [Observed<Thing>], _ version: Int, next: String? = nil) {
        note(reflector.page(objects, resourceVersion: "\(version)", next: next))
    }

    /// - Returns: how long to wait when the watch is over.
    mutating func event(_ event: Reflector<Thing>.Event) -> Duration? {
        let (effect, wait) = reflector.event(event, now: now, random: 0)
        note(effect)
        return wait
    }

    mutating func fails(_ code: Int?, retryAfter: Int? = nil) -> Duration {
        let error: APIError = code.map { .status(APIStatus(code: $0, message: "m", retryAfter: retryAfter)) } ?? .unreachable("u")
        return reflector.failed(error, now: now, random: 0)
    }

    mutating func tells(tooMuch: String) -> Duration { reflector.failed(.malformed(tooMuch), now: now, random: 0) }

    mutating func closes(_ error: APIError? = nil, after duration: Duration = .seconds(10)) -> Duration {
        now += duration
        return reflector.closed(error, now: now, random: 0.5)
    }

    private mutating func note(_ effect: Reflector<Thing>.Effect?) {
        switch effect {
        case .replace(let list): effects.append("= " + list.keys.map(\.name).sorted().joined(separator: " "))
        case .put(let object): effects.append("put \(object.name.name)@\(object.resourceVersion)")
        case .remove(let name, let version): effects.append("remove \(name.name)@\(version)")
        case nil: break
        }
    }

    /// Begun with a list, and watching from 5.
    static var watching: Story {
        var story = Story(initialEvents: false)
        _ = story.request()
        story.page([observed("a", 1)], 5)
        _ = story.request()
        story.reflector.opened(now: story.now)
        return story
    }
}

@Suite struct ReflectorTests {
    @Test func streamsTheListWhereOffered() {
        var story = Story()
        #expect(story.request() == "stream - 300s")
        story.reflector.opened(now: story.now)
        #expect(story.event(.put(observed("a", 1))) == nil)
        #expect(story.event(.put(observed("b", 2))) == nil)
        #expect(story.event(.put(observed("c", 3))) == nil)
        #expect(story.event(.removed(thingName("b"), resourceVersion: "4")) == nil)
        #expect(story.event(.passed(resourceVersion: "4")) == nil)
        #expect(story.effects == [] && !story.reflector.isSynced)
        #expect(story.event(.initialEventsEnd(resourceVersion: "7")) == nil)
        #expect(story.effects == ["= a c"] && story.reflector.isSynced)
        // The same watch goes on.
        #expect(story.event(.put(observed("d", 8))) == nil)
        #expect(story.event(.removed(thingName("a"), resourceVersion: "9")) == nil)
        #expect(story.effects == ["= a c", "put d@8", "remove a@9"])
        #expect(story.closes() == .zero)
        #expect(story.request() == "watch 9 300s")
    }

    @Test(arguments: [400, 405, 415, 422, 501]) func listsForGoodWhereStreamsAreUnknown(_ code: Int) {
        var story = Story()
        _ = story.request()
        #expect(story.fails(code) == .zero)
        #expect(story.request() == "list 200 -")
        story.page([observed("a", 1)], 5)
        #expect(story.request() == "watch 5 300s")
        #expect(story.fails(410) == .milliseconds(800))
        #expect(story.request() == "list 200 -")
    }

    @Test(arguments: [401, 403, 404, 429, 500, 503, nil] as [Int?]) func goesOnStreamingAfterOtherFailures(_ code: Int?) {
        var story = Story()
        for wait in [Duration.milliseconds(800), .milliseconds(1600), .milliseconds(3200), .milliseconds(6400)] {
            #expect(story.request() == "stream - 300s")
            #expect(story.fails(code) == wait)
        }
        #expect(story.request() == "stream - 300s")
    }

    @Test func forgetsAStreamThatBreaksOffAndListsAfterThree() {
        var story = Story()
        for _ in 0..<3 {
            #expect(story.request() == "stream - 300s")
            story.reflector.opened(now: story.now)
            _ = story.event(.put(observed("a", 1)))
            #expect(story.closes() > .zero)
        }
        #expect(story.effects == [])
        #expect(story.request() == "list 200 -")
        story.page([observed("b", 2)], 5)
        #expect(story.effects == ["= b"])
    }

    @Test func listsWhenTheMarkAfterTheObjectsNeverComes() {
        var story = Story()
        _ = story.request()
        story.reflector.opened(now: story.now)
        story.now += .seconds(59)
        _ = story.event(.put(observed("a", 1)))
        #expect(story.reflector.deadline == story.now + .seconds(60))
        story.now += .seconds(60)
        #expect(story.reflector.silent(now: story.now, random: 0) == .zero)
        #expect(story.request() == "list 200 -")
        story.page([], 5)
        #expect(story.effects == ["= "])
    }

    @Test func listsInPages() {
        var story = Story(initialEvents: false)
        #expect(story.request() == "list 200 -")
        story.page([observed("a", 1)], 5, next: "n1")
        #expect(story.request() == "list 200 n1")
        // A page that fails is asked for again.
        #expect(story.fails(nil) == .milliseconds(800))
        #expect(story.request() == "list 200 n1")
        story.page([observed("b", 2)], 5, next: "n2")
        #expect(story.effects == [])
        #expect(story.request() == "list 200 n2")
        story.page([observed("c", 3)], 5)
        #expect(story.effects == ["= a b c"])
        #expect(story.request() == "watch 5 300s")
    }

    @Test func listsWholeWhenTheNextPageIsForgotten() {
        var story = Story(initialEvents: false)
        _ = story.request()
        story.page([observed("a", 1)], 5, next: "n1")
        _ = story.request()
        #expect(story.fails(410) == .zero)
        #expect(story.request() == "list all -")
        #expect(story.fails(500) == .milliseconds(800))
        #expect(story.request() == "list all -")
        story.page([observed("b", 2)], 8)
        #expect(story.effects == ["= b"])
        #expect(story.request() == "watch 8 300s")
    }

    /// Two hundred objects of a megabyte each, which anybody may write: a list that is never read would stop all that follows it.
    @Test func asksForFewerWhereAPageIsTooLong() {
        var story = Story(initialEvents: false)
        for size in [200, 50, 12, 3] {
            #expect(story.request() == "list \(size) -")
            #expect(story.tells(tooMuch: "an answer of more than 4194304 bytes") == .zero)
        }
        #expect(story.request() == "list 1 -")
        story.page([observed("a", 1)], 5, next: "n1")
        #expect(story.request() == "list 1 n1")
        // What cannot be read alone is no reason to ask without a pause.
        #expect(story.tells(tooMuch: "no JSON") == .milliseconds(800))
        #expect(story.request() == "list 1 n1")
        story.page([observed("b", 2)], 5)
        #expect(story.effects == ["= a b"])
        #expect(story.request() == "watch 5 300s")
        #expect(story.fails(410) > .zero)
        #expect(story.request() == "list 200 -", "as always the next time")
    }

    @Test func listsInPagesAgainWhatIsTooMuchAsAWhole() {
        var story = Story(initialEvents: false)
        _ = story.request()
        story.page([observed("a", 1)], 5, next: "n1")
        _ = story.request()
        #expect(story.fails(410) == .zero)
        #expect(story.request() == "list all -")
        #expect(story.tells(tooMuch: "an answer of more than 4194304 bytes") == .milliseconds(800))
        #expect(story.request() == "list 50 -")
    }

    @Test func goesOnAfterEveryEndOfAWatch() {
        var story = Story.watching
        _ = story.event(.put(observed("a", 6)))
        #expect(story.closes() == .zero)
        #expect(story.request() == "watch 6 300s")
        story.reflector.opened(now: story.now)
        _ = story.event(.passed(resourceVersion: "7"))
        #expect(story.closes(.unreachable("cut")) == .milliseconds(250))
        #expect(story.request() == "watch 7 300s")
        // Ten minutes without a server.
        var waited = Duration.zero
        while waited < .seconds(600) {
            let wait = story.fails(nil)
            waited += wait
            story.now += wait
            #expect(story.request() == "watch 7 300s")
            #expect(story.reflector.problem != nil)
        }
        story.reflector.opened(now: story.now)
        #expect(story.reflector.problem == nil)
        #expect(story.effects == ["= a", "put a@6"])
        // The failures of then do not slow the next.
        story.now += .seconds(121)
        #expect(story.fails(nil) == .milliseconds(800))
    }

    @Test(arguments: [401, 403, 409, 429, 500, 503, 504]) func keepsItsPlaceThroughErrors(_ code: Int) {
        var story = Story.watching
        #expect(story.event(.error(APIStatus(code: code, message: "m"))) == .milliseconds(800))
        #expect(story.request() == "watch 5 300s")
        #expect(story.fails(code) == .milliseconds(1600))
        #expect(story.request() == "watch 5 300s")
    }

    @Test(arguments: [400, 404, 410, 422]) func listsAnewWhenItsPlaceIsForgotten(_ code: Int) {
        for byEvent in [true, false] {
            var story = Story.watching
            let status = APIStatus(code: code, message: "m")
            let wait = byEvent ? story.event(.error(status)) : story.fails(code)
            #expect(wait == .milliseconds(800))
            #expect(story.request() == "list 200 -")
            #expect(story.reflector.isSynced)
            story.page([observed("b", 9)], 9)
            #expect(story.effects == ["= a", "= b"])
            #expect(story.request() == "watch 9 300s")
        }
    }

    @Test func waitsAsLongAsTheServerAsks() {
        var story = Story.watching
        #expect(story.fails(429, retryAfter: 12) == .seconds(12))
        #expect(story.event(.error(APIStatus(code: 429, message: "m", retryAfter: 5))) == .seconds(5))
        #expect(story.request() == "watch 5 300s")
    }

    @Test func aWatchThatEndsAsItBeginsIsAFailure() {
        var story = Story.watching
        #expect(story.closes(after: .milliseconds(10)) == .milliseconds(1200))
        _ = story.request()
        story.reflector.opened(now: story.now)
        // Nothing new counts as nothing.
        _ = story.event(.passed(resourceVersion: "5"))
        // That it was taken at all is forgiven once, no more.
        for wait in [Duration.milliseconds(1200), .milliseconds(2400)] {
            #expect(story.closes(after: .milliseconds(10)) == wait)
            _ = story.request()
            story.reflector.opened(now: story.now)
        }
        _ = story.event(.put(observed("a", 6)))
        #expect(story.closes(after: .milliseconds(10)) == .zero)
        #expect(story.request() == "watch 6 300s")
    }

    @Test func listsAnewAfterAWatchWithoutASound() {
        // A version from the future, as after etcd was restored, gets silence (shared/kube-api, watch-future-rv).
        var story = Story.watching
        #expect(story.closes(after: .seconds(300)) == .zero)
        #expect(story.request() == "list 200 -")
        // With the bookmarks of a server that is well it does not.
        story = Story.watching
        _ = story.event(.passed(resourceVersion: "6"))
        #expect(story.closes(after: .seconds(300)) == .zero)
        #expect(story.request() == "watch 6 300s")
    }

    @Test func givesUpAWatchThatIsNotEnded() {
        var story = Story.watching
        #expect(story.reflector.deadline == story.now + .seconds(330))
        story.now += .seconds(330)
        #expect(story.reflector.silent(now: story.now, random: 0) == .zero)
        #expect(story.request() == "watch 5 300s")
        #expect(story.effects == ["= a"])
    }

    @Test func spreadsItsTimeouts() {
        var reflector = Reflector<Thing>()
        let now = ContinuousClock.now
        #expect(reflector.request(now: now, random: 0.999) == .watch(from: nil, initialEvents: true, timeout: 599))
        #expect(reflector.request(now: now, random: 0.5) == .watch(from: nil, initialEvents: true, timeout: 450))
    }
}
