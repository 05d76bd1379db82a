import Documents
import EdgeAPI
import KubernetesAPI
import Testing

@testable import Informers
@testable import LeaseElection
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct InformerTests {
    /// An informer of things, its server and its clock.
    private struct Bench {
        let shelf = Shelf()
        let time = ManualTime()
        let changes = Notes()
        let logs = Notes()
        let informer: Informer<Thing>

        init() {
            let changes = changes
            informer = Informer(
                shelf.server, Thing.resource, APISelector(namespace: "edge"), indexes: [Thing.byOwner], time: time.source(),
                logger: logs.logger, decode: Thing.decode
            ) { changes.append($0.text) }
        }

        func run(_ body: () async -> Void) async {
            let informer = informer
            await alongside({ await informer.run() }, body)
        }

        /// Lets a wait of just that length pass.
        func pass(_ duration: Duration) async {
            await eventually { time.naps.contains(duration) }
            time.advance(by: duration)
        }
    }

    @Test func followsTheServer() async throws {
        let bench = Bench()
        bench.shelf.put("a", word: "1", owner: "n")
        bench.shelf.put("other", in: "elsewhere", word: "1")
        #expect(!bench.informer.hasSynced)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                try await bench.informer.waitForSync()
                // All of the list has been told by now.
                #expect(bench.changes.all == ["+a=1"])
            }
            await bench.run {
                await eventually { bench.informer.hasSynced }
                bench.shelf.put("b", word: "2", owner: "n")
                bench.shelf.put("a", word: "3")
                bench.shelf.remove("things", thingName("b"))
                await eventually { bench.changes.all.count == 4 }
            }
            try await group.waitForAll()
        }
        #expect(bench.changes.all == ["+a=1", "+b=2", "~a=3", "-b=2"])
        #expect(bench.shelf.requests == ["stream things edge"])
        // What is known stays readable.
        #expect(bench.informer.get(thingName("a")) == Thing("3"))
        #expect(bench.informer.all == [Thing("3")])
        #expect(bench.informer.objects(Thing.byOwner, thingName("n")) == [])
        #expect(bench.shelf.openWatches == 0)
    }

    @Test func listsInPagesWhereStreamsAreUnknown() async {
        let bench = Bench()
        bench.shelf.offerNoInitialEvents()
        for number in 0..<450 { bench.shelf.put("t\(number)", word: "w", owner: "n") }
        await bench.run {
            await eventually { bench.informer.hasSynced }
            await eventually { bench.shelf.openWatches == 1 }
        }
        #expect(
            bench.shelf.requests == [
                "stream things edge", "list things edge", "list things edge from 200", "list things edge from 400",
                "watch things edge 550",
            ])
        #expect(bench.changes.all.count == 450)
        #expect(bench.informer.objects(Thing.byOwner, thingName("n")).count == 450)
    }

    @Test func goesOnWhereItWasAfterACut() async {
        let bench = Bench()
        bench.shelf.put("a", word: "1")
        await bench.run {
            await eventually { bench.informer.hasSynced }
            bench.shelf.refuse { _ in .unreachable("away") }
            bench.time.advance(by: .seconds(2))
            bench.shelf.cutWatches()
            bench.shelf.put("b", word: "2")
            bench.shelf.remove("things", thingName("a"))
            // Ten minutes away.
            for wait in [800, 1600, 3200, 6400] { await bench.pass(.milliseconds(wait)) }
            for _ in 0..<58 { await bench.pass(.seconds(10)) }
            #expect(bench.informer.get(thingName("a")) == Thing("1"))
            #expect(bench.informer.problem != nil)
            await eventually { bench.time.naps.contains(.seconds(10)) }
            bench.shelf.forgetRequests()
            bench.shelf.refuse { _ in nil }
            bench.time.advance(by: .seconds(10))
            await eventually { bench.changes.all.count == 3 }
        }
        #expect(bench.shelf.requests == ["watch things edge 101"])
        #expect(bench.changes.all == ["+a=1", "+b=2", "-a=1"])
        #expect(
            bench.logs.all == [
                "warning: the API server cannot be followed; what is known of it stays in use",
                "info: the API server is followed again",
            ])
    }

    @Test func listsAnewWhenItsPlaceIsForgotten() async {
        let bench = Bench()
        for name in ["a", "b", "c"] { bench.shelf.put(name, word: "1") }
        await bench.run {
            await eventually { bench.informer.hasSynced }
            bench.shelf.refuse { $0.hasPrefix("watch") ? .unreachable("away") : nil }
            bench.time.advance(by: .seconds(2))
            bench.shelf.cutWatches()
            await eventually { bench.time.naps.contains(.milliseconds(800)) }
            bench.shelf.remove("things", thingName("a"))
            bench.shelf.put("b", word: "2")
            bench.shelf.put("d", word: "1")
            bench.shelf.forget()
            bench.shelf.refuse { _ in nil }
            await bench.pass(.milliseconds(800))
            // Short again: the server did answer.
            await bench.pass(.milliseconds(800))
            await eventually { bench.changes.all.count == 6 }
        }
        #expect(bench.changes.all == ["+a=1", "+b=1", "+c=1", "-a=1", "~b=2", "+d=1"])
        #expect(
            bench.shelf.requests == [
                "stream things edge", "watch things edge 103", "watch things edge 103", "stream things edge",
            ])
    }

    @Test func oneObjectNeverStopsAnother() async {
        let bench = Bench()
        bench.shelf.put("a", word: "bad")
        bench.shelf.put("b", word: "1")
        await bench.run {
            await eventually { bench.informer.hasSynced }
            bench.shelf.tell("this is no event")
            bench.shelf.tell(#"{"type":"ADDED","object":{"metadata":{"resourceVersion":"103"}}}"#)
            bench.shelf.tell(#"{"type":"STRANGE","object":{"metadata":{"name":"z","resourceVersion":"103"}}}"#)
            bench.shelf.put("c", word: "bad")
            bench.shelf.put("b", word: "bad")
            bench.shelf.put("a", word: "2")
            await eventually { bench.changes.all.count == 5 }
        }
        #expect(bench.changes.all == ["+a=!", "+b=1", "+c=!", "~b=!", "~a=2"])
        #expect(bench.informer.all == [Thing("2")])
        #expect(bench.informer.get(thingName("b")) == nil)
        #expect(bench.informer.observed(thingName("b"))?.problems.map(\.path) == ["spec.word"])
        #expect(bench.informer.allObserved.count == 3)
        #expect(bench.shelf.requests.count == 1)
    }

    @Test func aStreamOfNonsenseIsGivenUp() async {
        let bench = Bench()
        await bench.run {
            await eventually { bench.informer.hasSynced }
            for _ in 0...100 { bench.shelf.tell("this is no event") }
            await eventually { bench.shelf.requests.count == 2 }
        }
        #expect(bench.shelf.requests == ["stream things edge", "watch things edge 100"])
    }

    @Test func aServerThatHangsIsAskedAgain() async {
        let bench = Bench()
        bench.shelf.hang { $0.hasPrefix("stream") }
        await bench.run {
            // It never begins to send the objects: it may not know how to.
            await bench.pass(.seconds(60))
            await eventually { bench.informer.hasSynced }
            // The watch is not ended in time, as when a proxy in between keeps it open.
            bench.time.advance(by: .seconds(300))
            await bench.pass(.seconds(30))
            await eventually { bench.shelf.requests.count == 4 }
        }
        #expect(
            bench.shelf.requests == ["stream things edge", "list things edge", "watch things edge 100", "watch things edge 100"])
    }

    @Test func doesWhatA429AsksFor() async {
        let bench = Bench()
        bench.shelf.refuse { _ in .status(APIStatus(code: 429, message: "too many", retryAfter: 9)) }
        await bench.run {
            await eventually { bench.time.naps.contains(.seconds(9)) }
            bench.shelf.refuse { _ in nil }
            bench.time.advance(by: .seconds(9))
            await eventually { bench.informer.hasSynced }
        }
        #expect(bench.informer.problem == nil)
    }

    @Test func waitingForSyncCanBeCancelled() async {
        let bench = Bench()
        for isEarly in [true, false] {
            let task = Task {
                if isEarly { withUnsafeCurrentTask { $0?.cancel() } }
                await #expect(throws: CancellationError.self) { try await bench.informer.waitForSync() }
            }
            if !isEarly {
                try? await Task.sleep(for: .milliseconds(5))
                task.cancel()
            }
            await task.value
        }
    }

    @Test func tellsInOrderWhoeverElseReads() async {
        let bench = Bench()
        await bench.run {
            await eventually { bench.informer.hasSynced }
            for round in 0..<300 { bench.shelf.put("a", word: "\(round)") }
            await eventually { bench.informer.get(thingName("a")) == Thing("299") && bench.changes.all.count == 300 }
        }
        #expect(bench.changes.all == ["+a=0"] + (1..<300).map { "~a=\($0)" })
    }
}
