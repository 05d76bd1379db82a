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
}
