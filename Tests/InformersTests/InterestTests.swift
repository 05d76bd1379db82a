import EdgeAPI
import Testing

@testable import Informers

@Suite struct InterestTests {
    private func names(_ texts: String...) -> Set<ObjectName> {
        Set(
            texts.map { text in
                let parts = text.split(separator: "/").map { String($0) }
                return ObjectName(namespace: parts[0], name: parts[1])
            })
    }

    private func many(_ count: Int, in namespace: String = "x") -> Set<ObjectName> {
        Set((0..<count).map { ObjectName(namespace: namespace, name: "n\($0)") })
    }

    @Test func watchesNamesUpToALimit() {
        func plan(_ wanted: Set<ObjectName>, _ before: Set<WatchScope> = []) -> Set<WatchScope> {
            Interest.plan(wanted: wanted, before: before, mostNames: 8)
        }
        #expect(plan([]) == [])
        #expect(plan(names("x/a", "y/a")) == [.name(thingName("a", in: "x")), .name(thingName("a", in: "y"))])
        #expect(plan(many(8)) == Set(many(8).map { .name($0) }))
        #expect(plan(many(9).union(names("y/a"))) == [.namespace("x"), .name(thingName("a", in: "y"))])
        // Once watched whole, it stays so for a while.
        #expect(plan(many(5), [.namespace("x")]) == [.namespace("x")])
        #expect(plan(many(4), [.namespace("x")]) == Set(many(4).map { .name($0) }))
        #expect(plan([], [.namespace("x")]) == [])
        #expect(Interest.plan(wanted: names("x/a"), before: [], mostNames: 0) == [.namespace("x")])
    }

    @Test func keepsOldWatchesUntilTheNewOnesKnow() {
        let (a, b) = (thingName("a", in: "x"), thingName("b", in: "x"))
        func obsolete(
            _ running: Set<WatchScope>, _ planned: Set<WatchScope>, _ wanted: Set<ObjectName>, settled: Bool
        ) -> Set<WatchScope> {
            Interest.obsolete(running: running, planned: planned, wanted: wanted) { _, _ in settled }
        }
        let (whole, one, other) = (WatchScope.namespace("x"), WatchScope.name(a), WatchScope.name(b))
        #expect(obsolete([whole, one], [whole], [a], settled: false) == [])
        #expect(obsolete([whole, one], [whole], [a], settled: true) == [one])
        #expect(obsolete([whole, one, other], [one, other], [a, b], settled: false) == [])
        #expect(obsolete([whole, one, other], [one, other], [a, b], settled: true) == [whole])
        // Nobody wants it any more.
        #expect(obsolete([whole, one], [whole], [b], settled: false) == [one])
        #expect(obsolete([one], [], [], settled: false) == [one])
        #expect(obsolete([one], [one], [a], settled: false) == [])
    }

    // MARK: whose names

    private func wishes(_ names: [String: Set<ObjectName>]) -> Wishes { Wishes(names: names) }

    /// One name in each of so many namespaces that nobody has made.
    private func madeUp(_ count: Int) -> Set<ObjectName> {
        Set((0..<count).map { ObjectName(namespace: "made-up-\($0)", name: "n") })
    }

    @Test func everyNamespaceHasItsShareOfForeignWatches() {
        let limits = WatchLimits(mostNames: 8, mostForeign: 4)
        let all = wishes(["mallory": madeUp(3000).union(many(2, in: "mallory")), "alice": names("x/a", "alice/b")])
        let admitted = Interest.admitted(all, before: [], limits: limits, isCluster: false)
        #expect(admitted.isSuperset(of: names("x/a", "alice/b")))
        #expect(admitted.isSuperset(of: many(2, in: "mallory")))
        #expect(admitted.count == 4 + 4)
        // Those that were there before stay.
        let before = admitted.subtracting(names("x/a", "alice/b"))
        #expect(Interest.admitted(all, before: before, limits: limits, isCluster: false).isSuperset(of: before))
        // Many of one namespace are one watch.
        let crowd = wishes(["alice": many(100, in: "shop")])
        #expect(
            Interest.admitted(crowd, before: [], limits: WatchLimits(mostNames: 0, mostForeign: 4), isCluster: false).count == 100
        )
        #expect(Interest.admitted(crowd, before: [], limits: limits, isCluster: false).count == 4)
        #expect(Interest.admitted(all, before: [], limits: limits, isCluster: true).count == 3004)
    }

    @Test func manyNamespacesAreOneWatchOfAll() {
        let limits = WatchLimits(mostNames: 0, mostNamespaces: 8)
        #expect(!Interest.isClusterWide(wishes(["a": madeUp(8)]), before: [], limits: limits))
        #expect(Interest.isClusterWide(wishes(["a": madeUp(9)]), before: [], limits: limits))
        #expect(Interest.isClusterWide(wishes(["a": madeUp(5)]), before: [.cluster], limits: limits))
        #expect(!Interest.isClusterWide(wishes(["a": madeUp(4)]), before: [.cluster], limits: limits))
        #expect(!Interest.isClusterWide(wishes(["a": madeUp(900)]), before: [], limits: WatchLimits(mostNames: 0)))
    }

    @Test func whatIsReadOneByOneIsReadInTurns() {
        let ranks = wishes(["mallory": madeUp(100), "alice": names("alice/a", "alice/b")]).ranks
        #expect(ranks[thingName("a", in: "alice")] == 0)
        #expect(ranks[thingName("b", in: "alice")] == 1)
        #expect(ranks.values.max() == 99)
    }
}
