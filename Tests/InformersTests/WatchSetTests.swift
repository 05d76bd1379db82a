import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Synchronization
import Testing

@testable import Informers
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct WatchSetTests {
    private struct Bench {
        let shelf = Shelf()
        let time = ManualTime()
        let changed = Notes()
        let set: WatchSet<Thing>

        init(mostNames: Int = 2) {
            let changed = changed
            set = WatchSet(
                shelf.server, Thing.resource, limits: WatchLimits(mostNames: mostNames), time: time.source(),
                logger: Notes().logger,
                decode: Thing.decode
            ) { changed.append($0.name) }
        }

        func run(_ body: () async -> Void) async {
            let set = set
            await alongside({ await set.run() }, body)
        }

        /// What the set knows of a name, in a word.
        func word(_ name: String, in namespace: String = "edge") -> String {
            switch set.get(thingName(name, in: namespace)) {
            case .known(let object): object.object?.word ?? "!"
            case .absent: "absent"
            case .unknown(let cause): cause.map { "unknown: \($0)" } ?? "unknown"
            case .forbidden: "forbidden"
            }
        }

        func want(_ names: String...) { set.want(Set(names.map { thingName($0) })) }
        func settles(_ word: String, _ name: String) async { await eventually { self.word(name) == word } }
    }

    @Test func followsNamesOneByOne() async {
        let bench = Bench()
        bench.shelf.put("a", word: "1")
        bench.shelf.put("c", word: "1")
        #expect(bench.word("a") == "unknown")
        await bench.run {
            bench.want("a", "b")
            await bench.settles("1", "a")
            await bench.settles("absent", "b")
            #expect(bench.word("c") == "unknown")
            bench.shelf.put("b", word: "2")
            await bench.settles("2", "b")
            bench.shelf.remove("things", thingName("a"))
            await bench.settles("absent", "a")
            #expect(bench.shelf.requests.sorted() == ["stream things edge/a", "stream things edge/b"])
            bench.want("b")
            await eventually { bench.shelf.openWatches == 1 && bench.set.watchCount == 1 }
            #expect(bench.word("a") == "unknown")
            #expect(bench.word("b") == "2")
            #expect(Set(bench.changed.all) == ["a", "b"])
        }
        #expect(bench.shelf.openWatches == 0)
    }

    @Test func followsANamespaceWhenThereAreMany() async {
        let bench = Bench()
        for name in ["a", "b", "c", "d", "e"] { bench.shelf.put(name, word: "1") }
        await bench.run {
            bench.want("a", "b")
            await bench.settles("1", "a")
            await bench.settles("1", "b")
            // The watch of the whole namespace is slow to come; what was known stays known.
            bench.shelf.hang { $0 == "stream things edge" }
            bench.want("a", "b", "c")
            await eventually { bench.shelf.requests.contains("stream things edge") }
            #expect(bench.word("a") == "1" && bench.word("c") == "unknown")
            bench.shelf.put("a", word: "2")
            await bench.settles("2", "a")
            #expect(bench.shelf.openWatches == 2)
            bench.shelf.hang { _ in false }
            bench.time.advance(by: .seconds(60))
            await bench.settles("1", "c")
            await eventually { bench.shelf.openWatches == 1 && bench.set.watchCount == 1 }
            #expect(bench.word("a") == "2" && bench.word("b") == "1")
            // Back to names, one of them slow.
            bench.shelf.hang { $0 == "list things edge/a" }
            bench.want("a")
            await eventually { bench.shelf.requests.contains { $0.hasSuffix("edge/a") } }
            #expect(bench.word("a") == "2")
            bench.shelf.put("a", word: "3")
            await bench.settles("3", "a")
        }
    }

    @Test func aLateNameCostsOneRead() async {
        let bench = Bench(mostNames: 0)
        for name in ["a", "b", "c"] { bench.shelf.put(name, word: "1") }
        await bench.run {
            bench.want("a")
            await bench.settles("1", "a")
            bench.want("a", "b", "x")
            await bench.settles("1", "b")
            await bench.settles("absent", "x")
            bench.shelf.put("b", word: "2")
            bench.shelf.put("x", word: "2")
            bench.shelf.put("c", word: "2")
            await bench.settles("2", "b")
            await bench.settles("2", "x")
            #expect(bench.word("c") == "unknown")
            // Not wanted for a while: what happened meanwhile is read.
            bench.want("a")
            await eventually { bench.word("b") == "unknown" }
            bench.shelf.remove("things", thingName("b"))
            bench.want("a", "b")
            await bench.settles("absent", "b")
        }
        // The last only where the set noticed that `b` was not wanted for a moment.
        let requests = ["stream things edge", "get things edge/b", "get things edge/x", "get things edge/b"]
        #expect(bench.shelf.requests == requests || bench.shelf.requests == requests.dropLast())
    }

    @Test func aLateNameIsNotLostInAListThatWasUnderWay() async {
        let bench = Bench(mostNames: 0)
        bench.shelf.put("a", word: "1")
        bench.shelf.put("b", word: "1")
        let isHeld = Mutex(true)
        bench.shelf.offerNoInitialEvents()
        // Pages, the second of them slow: `b` becomes wanted between them.
        for number in 0..<200 { bench.shelf.put("c\(number)", word: "1") }
        bench.shelf.refuse { text in
            text == "list things edge from 200" && isHeld.withLock { $0 } ? .unreachable("slow") : nil
        }
        await bench.run {
            bench.want("a")
            await eventually { bench.time.naps.contains(.milliseconds(800)) }
            bench.want("a", "b")
            // Taken in: the informer knows of it.
            await eventually { bench.set.wanted.count == 2 }
            try? await Task.sleep(for: .milliseconds(20))
            isHeld.withLock { $0 = false }
            bench.time.advance(by: .milliseconds(800))
            await bench.settles("1", "b")
            #expect(bench.word("a") == "1")
        }
        #expect(bench.shelf.requests.filter { $0.hasPrefix("get") } == ["get things edge/b"])
    }

    @Test func tellsWhatToGrant() async {
        let bench = Bench()
        bench.shelf.refuse { _ in
            .status(APIStatus(code: 403, reason: "Forbidden", message: "User \"x\" cannot list resource \"things\""))
        }
        await bench.run {
            bench.want("a")
            await bench.settles("forbidden", "a")
            guard case .forbidden(let message) = bench.set.get(thingName("a")) else { return }
            #expect(message.hasPrefix("grant get, list and watch on things.test in namespace edge to"))
            #expect(message.contains("User \"x\" cannot list"))
            await eventually { bench.changed.all.contains("a") }
            bench.shelf.refuse { _ in nil }
            bench.shelf.put("a", word: "1")
            await eventually { bench.time.naps.contains(.milliseconds(800)) }
            bench.time.advance(by: .milliseconds(800))
            await bench.settles("1", "a")
            // What is known is not taken back with the right to see it.
            bench.shelf.refuse { _ in Shelf.error(403, "Forbidden") }
            bench.shelf.cutWatches()
            await eventually { bench.time.naps.contains { $0 < .seconds(60) } }
            #expect(bench.word("a") == "1")
        }
    }

    @Test func tellsWhyItKnowsNothing() async {
        let bench = Bench()
        bench.shelf.refuse { _ in .unreachable("no route") }
        await bench.run {
            bench.want("a")
            await bench.settles("unknown: the API server cannot be reached: no route", "a")
        }
    }

    @Test func readsAgainWhatCouldNotBeRead() async {
        let bench = Bench(mostNames: 0)
        await bench.run {
            bench.want("a")
            await bench.settles("absent", "a")
            bench.shelf.put("b", word: "1")
            bench.shelf.put("a", word: "2")
            // The watch is past `b`, which nobody wanted.
            await bench.settles("2", "a")
            bench.shelf.refuse { $0.hasPrefix("get") ? Shelf.error(500, "InternalError") : nil }
            bench.want("a", "b")
            await eventually { bench.time.naps.contains(.milliseconds(800)) }
            #expect(bench.word("b") == "unknown")
            bench.shelf.refuse { _ in nil }
            bench.time.advance(by: .milliseconds(800))
            await bench.settles("1", "b")
            // The watch may be faster than the read.
            bench.shelf.refuse { $0.hasPrefix("get") ? Shelf.error(500, "InternalError") : nil }
            bench.want("a", "b", "c")
            await eventually { bench.time.naps.contains(.milliseconds(1600)) }
            bench.shelf.put("c", word: "1")
            await bench.settles("1", "c")
        }
    }

    @Test func theWatchKnowsBetterThanASlowRead() async {
        let bench = Bench(mostNames: 0)
        await bench.run {
            bench.want("a")
            await bench.settles("absent", "a")
            bench.shelf.put("c", word: "1")
            bench.shelf.put("a", word: "1")
            await bench.settles("1", "a")
            // Answers of before, to be overtaken: there is no `b` yet, and still a `c`.
            for (name, happens) in [
                ("b", { bench.shelf.put("b", word: "1") }), ("c", { bench.shelf.remove("things", thingName("c")) }),
            ] {
                let gate = bench.shelf.delay("get things edge/\(name)")
                bench.set.want(bench.set.wanted.union([thingName(name)]))
                await eventually { bench.shelf.requests.contains("get things edge/\(name)") }
                happens()
                await bench.settles(name == "b" ? "1" : "absent", name)
                let told = bench.changed.all.count
                gate.end()
                bench.shelf.put("a", word: "after \(name)")
                await bench.settles("after \(name)", "a")
                await eventually { bench.changed.all.count > told }
                try? await Task.sleep(for: .milliseconds(10))
                #expect(bench.word(name) == (name == "b" ? "1" : "absent"))
            }
        }
    }

    @Test func anyChangeOfMindEndsWithTheTruth() async {
        let bench = Bench()
        var random = Random(seed: 7)
        let names = (0..<6).map { "n\($0)" }
        await bench.run {
            for round in 0..<150 {
                bench.set.want(Set(names.filter { _ in random.happens(oneIn: 2) }.map { thingName($0) }))
                let name = names.randomElement(using: &random) ?? "n0"
                if random.happens(oneIn: 3) {
                    bench.shelf.remove("things", thingName(name))
                } else {
                    bench.shelf.put(name, word: "\(round)")
                }
                if random.happens(oneIn: 5) { await Task.yield() }
                if random.happens(oneIn: 20) { try? await Task.sleep(for: .milliseconds(2)) }
            }
            bench.set.want(Set(names.map { thingName($0) }))
            for name in names {
                let word = bench.shelf.fields("things", thingName(name))?["spec"]?["word"]?.text ?? "absent"
                await bench.settles(word, name)
                #expect(bench.word(name) == word)
            }
            await eventually { bench.set.watchCount == 1 }
        }
    }

    /// Objects of one namespace that name things in a thousand made-up ones: one watch of all, or some few where that is forbidden.
    @Test(arguments: [true, false]) func aThousandMadeUpNamespacesCostLittle(mayWatchAll: Bool) async {
        let shelf = Shelf()
        let time = ManualTime()
        let set = WatchSet(
            shelf.server, Thing.resource, limits: WatchLimits(mostNames: 0, mostForeign: 16, mostNamespaces: 32),
            time: time.source(), logger: Notes().logger, decode: Thing.decode)
        if !mayWatchAll { shelf.refuse { $0 == "stream things" || $0 == "list things" ? Shelf.error(403, "Forbidden") : nil } }
        shelf.put("real", in: "alice", word: "1")
        var hostile: Set<ObjectName> = []
        for number in 0..<1000 { hostile.insert(thingName("x", in: "made-up-\(number)")) }
        let wanted = hostile
        await alongside({ await set.run() }) {
            set.want(wishes: ["mallory": wanted, "alice": [thingName("real", in: "alice")]])
            await eventually { if case .known = set.get(thingName("real", in: "alice")) { true } else { false } }
            #expect(shelf.openWatches <= (mayWatchAll ? 1 : 17))
            #expect(set.watchCount <= 18)
            guard !mayWatchAll else { return }
            let refused = wanted.count { if case .forbidden(let why) = set.get($0) { why.contains("name fewer") } else { false } }
            #expect(refused == 1000 - 16)
        }
    }
}
