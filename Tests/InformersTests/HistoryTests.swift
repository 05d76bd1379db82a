import EdgeAPI
import KubernetesAPI
import Testing

@testable import Informers

/// A server's memory: what there is, what happened, and how far back a new watch may begin.
private struct History {
    private(set) var objects: [ObjectName: Observed<Thing>] = [:]
    private(set) var events: [(version: Int, event: Reflector<Thing>.Event)] = []
    private(set) var version = 100
    /// What happened up to here is forgotten.
    private(set) var forgotten = 100
    private var uids = 0

    mutating func change(_ random: inout Random) {
        let name = thingName(["a", "b", "c", "d", "e", "f"].randomElement(using: &random) ?? "a")
        version += Int.random(in: 1...3, using: &random)
        if objects[name] != nil, random.happens(oneIn: 3) {
            objects[name] = nil
            events.append((version, .removed(name, resourceVersion: "\(version)")))
            return
        }
        if objects[name] == nil { uids += 1 }
        let object = Observed(
            name: name, uid: objects[name]?.uid ?? "u\(uids)", resourceVersion: "\(version)",
            content: .valid(Thing("w\(version)", owner: ["n", "m"].randomElement(using: &random))))
        objects[name] = object
        events.append((version, .put(object)))
    }

    /// A watch that is open already still tells it all.
    mutating func forget() { forgotten = version }

    func after(_ version: Int) -> [(version: Int, event: Reflector<Thing>.Event)] { events.filter { $0.version > version } }
}

/// Any interleaving of changes, cuts, failures and forgetting: the store ends as the server is, and what was told leads there.
@Suite struct HistoryTests {
    private struct Run {
        var random: Random
        var history = History()
        var reflector: Reflector<Thing>
        var store = ObjectStore(indexes: [Thing.byOwner])
        /// What somebody who only listens believes.
        var told: [ObjectName: Observed<Thing>] = [:]
        var now = ContinuousClock.now
        var lists = 0
        /// Of the list in pages that is under way: as it was when the list began.
        var pages: [Observed<Thing>] = []
        var pagesVersion = 0

        init(seed: Int) {
            random = Random(seed: seed)
            reflector = Reflector(initialEvents: seed % 2 == 0)
            for _ in 0..<5 { history.change(&random) }
        }

        mutating func take(_ effect: Reflector<Thing>.Effect?) {
            let changes =
                switch effect {
                case .put(let object): store.put(object)
                case .remove(let name, let version): store.remove(name, resourceVersion: version)
                case .replace(let list): store.replace(with: list)
                case nil: [ObjectChange<Thing>]()
                }
            for change in changes { listen(change) }
        }

        mutating func listen(_ change: ObjectChange<Thing>) {
            switch change {
            case .added(let object):
                #expect(told[object.name] == nil)
                told[object.name] = object
            case .updated(let old, let new):
                #expect(told[new.name]?.resourceVersion == old.resourceVersion && old.uid == new.uid)
                #expect(isOlder(old.resourceVersion, than: new.resourceVersion))
                told[new.name] = new
            case .deleted(let old):
                #expect(told[old.name]?.resourceVersion == old.resourceVersion)
                told[old.name] = nil
            }
        }

        mutating func world() {
            for _ in 0..<Int.random(in: 0...2, using: &random) { history.change(&random) }
            if random.happens(oneIn: 25) { history.forget() }
        }

        /// - Parameter isCalm: nothing fails any more, and nothing changes.
        mutating func step(isCalm: Bool = false) {
            func fate(_ count: Int) -> Bool { !isCalm && random.happens(oneIn: count) }
            switch reflector.request(now: now, random: random.fraction()) {
            case .list(let limit, let next): page(limit: limit, next: next, isCalm: isCalm)
            case .watch(let version, let initialEvents, _):
                if fate(4) { return fail(.unreachable("u")) }
                if initialEvents, fate(10) { return fail(.status(APIStatus(code: 422, message: "unknown field"))) }
                reflector.opened(now: now)
                watch(from: version, initialEvents: initialEvents, isCalm: isCalm)
            }
        }

        mutating func fail(_ error: APIError) { now += reflector.failed(error, now: now, random: random.fraction()) }

        mutating func page(limit: Int?, next: String?, isCalm: Bool) {
            if !isCalm && random.happens(oneIn: 4) { return fail(.status(APIStatus(code: 500, message: "no"))) }
            if next != nil, !isCalm, random.happens(oneIn: 4) {
                return fail(.status(APIStatus(code: 410, message: "the token is too old")))
            }
            if next == nil {
                pages = history.objects.values.sorted { $0.name < $1.name }
                pagesVersion = history.version
                lists += 1
            }
            // Small pages, whatever the limit says.
            let start = next.flatMap { Int($0) } ?? 0
            let end = limit == nil ? pages.count : min(pages.count, start + 2)
            if !isCalm { world() }
            take(
                reflector.page(
                    Array(pages[start..<end]), resourceVersion: "\(pagesVersion)", next: end < pages.count ? "\(end)" : nil))
        }

        mutating func watch(from version: String?, initialEvents: Bool, isCalm: Bool) {
            var events: [Reflector<Thing>.Event] = []
            var place: Int
            if initialEvents {
                lists += 1
                place = history.version
                events = history.objects.values.map { .put($0) } + [.initialEventsEnd(resourceVersion: "\(place)")]
            } else {
                place = version.flatMap { Int($0) } ?? -1
                if place < history.forgotten {
                    return feed([.error(APIStatus(code: 410, reason: "Expired", message: "too old"))])
                }
            }
            for _ in 0..<(isCalm ? 1 : Int.random(in: 1...6, using: &random)) {
                events += history.after(place).map(\.event)
                place = history.version
                if random.happens(oneIn: 2) { events.append(.passed(resourceVersion: "\(place)")) }
                // Told twice, as after a cut that only the server noticed.
                if !isCalm, let last = history.events.last, random.happens(oneIn: 5) { events.append(last.event) }
                if !isCalm { world() }
            }
            if !isCalm, random.happens(oneIn: 2) {
                events = Array(events.prefix(Int.random(in: 0...events.count, using: &random)))
            }
            feed(events)
            now += .seconds(Int.random(in: 0...20, using: &random))
            let cut: APIError? = random.happens(oneIn: 2) ? .unreachable("cut") : nil
            now += reflector.closed(cut, now: now, random: random.fraction())
        }

        mutating func feed(_ events: [Reflector<Thing>.Event]) {
            for event in events {
                let (effect, wait) = reflector.event(event, now: now, random: random.fraction())
                take(effect)
                if let wait {
                    now += wait
                    return
                }
            }
        }
    }

    @Test(arguments: 0..<300) func theStoreEndsAsTheServerIs(_ seed: Int) {
        var run = Run(seed: seed)
        for _ in 0..<60 {
            run.step()
            run.world()
        }
        for _ in 0..<8 { run.step(isCalm: true) }
        let expected = run.history.objects.mapValues(\.resourceVersion)
        #expect(run.reflector.isSynced)
        #expect(run.store.objects.mapValues(\.resourceVersion) == expected)
        #expect(run.told.mapValues(\.resourceVersion) == expected)
        for owner in ["n", "m"] {
            let found = Set(run.store.objects(Thing.byOwner, thingName(owner)).map(\.word))
            #expect(found == Set(run.history.objects.values.compactMap(\.object).filter { $0.owner?.name == owner }.map(\.word)))
        }
    }

    @Test func cutsAloneNeverListAgain() {
        var run = Run(seed: 2)
        run.step(isCalm: true)
        #expect(run.lists == 1)
        for _ in 0..<200 {
            run.history.change(&run.random)
            switch run.reflector.request(now: run.now, random: run.random.fraction()) {
            case .list: Issue.record("it lists")
            case .watch(let version, let initialEvents, _):
                #expect(!initialEvents)
                if run.random.happens(oneIn: 3) {
                    run.fail(.unreachable("away"))
                } else {
                    run.reflector.opened(now: run.now)
                    run.watch(from: version, initialEvents: false, isCalm: true)
                }
            }
        }
        #expect(run.lists == 1)
        #expect(run.store.objects.mapValues(\.resourceVersion) == run.told.mapValues(\.resourceVersion))
    }
}
