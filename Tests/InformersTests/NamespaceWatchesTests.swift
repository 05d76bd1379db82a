import Documents
import EdgeAPI
import JSON
import KubernetesAPI
import Testing

@testable import Informers
@testable import Timing

@Suite(.timeLimit(.minutes(5))) struct NamespaceWatchesTests {
    private struct Bench {
        let shelf = Shelf()
        let time = ManualTime()
        let told = Notes()
        let watches: NamespaceWatches<Thing>

        init() {
            let told = told
            watches = NamespaceWatches(
                shelf.server, Thing.resource, labels: "app=uplink", indexes: [Thing.byOwner], time: time.source(),
                logger: Notes().logger, decode: Thing.decode
            ) { notice in
                switch notice {
                case .change(let change): told.append(change.text)
                case .condition(let namespace): told.append("?\(namespace)")
                }
            }
        }

        func word(_ name: String, in namespace: String = "edge") -> String {
            switch watches.get(thingName(name, in: namespace)) {
            case .known(let object): object.object?.word ?? "!"
            case .absent: "absent"
            case .unknown: "unknown"
            }
        }

        func run(_ body: () async -> Void) async {
            let watches = watches
            await alongside({ await watches.run() }, body)
        }
    }

    @Test func oneWatchMayStandForAllNamespaces() async {
        let bench = Bench()
        bench.shelf.put("a", word: "1", owner: "n")
        bench.shelf.put("a", in: "other", word: "2")
        await bench.run {
            bench.watches.want([""])
            await eventually { bench.word("a") == "1" && bench.word("a", in: "other") == "2" }
        }
    }

    @Test func followsNamespacesThatComeAndGo() async {
        let bench = Bench()
        bench.shelf.put("a", word: "1", owner: "n")
        bench.shelf.put("a", in: "other", word: "2")
        #expect(bench.word("a") == "unknown")
        await bench.run {
            bench.watches.want(["edge"])
            await eventually { bench.word("a") == "1" }
            #expect(bench.word("b") == "absent")
            #expect(bench.word("a", in: "other") == "unknown")
            let owned = bench.watches.observed(Thing.byOwner, thingName("n"), in: "edge")
            #expect(owned?.map(\.name.name) == ["a"])
            #expect(bench.watches.observed(Thing.byOwner, thingName("n"), in: "other") == nil)
            bench.watches.want(["edge", "other"])
            await eventually { bench.word("a", in: "other") == "2" }
            bench.shelf.remove("things", thingName("a"))
            await eventually { bench.word("a") == "absent" }
            #expect(bench.told.all.contains("-a=1"))
            bench.watches.want(["other"])
            await eventually { bench.shelf.openWatches == 1 }
            #expect(bench.word("a") == "unknown")
            #expect(bench.shelf.requests == ["stream things edge", "stream things other"], "one watch each")
        }
        #expect(bench.shelf.openWatches == 0)
    }

    /// What it knew before is no knowledge while it may not look.
    @Test func knowsNothingWhereItMayNotLook() async {
        let bench = Bench()
        bench.shelf.put("a", word: "1")
        await bench.run {
            bench.watches.want(["edge"])
            await eventually { bench.word("a") == "1" }
            bench.shelf.refuse { _ in Shelf.error(403, "Forbidden") }
            bench.shelf.cutWatches()
            bench.time.advance(by: .seconds(1))
            await eventually { bench.word("a") == "unknown" }
            #expect(bench.told.all.contains("?edge"))
            bench.shelf.refuse { _ in nil }
            await eventually {
                bench.time.advance(by: .seconds(1))
                return bench.word("a") == "1"
            }
        }
    }
}
