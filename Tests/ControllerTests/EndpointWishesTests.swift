import Testing

@testable import Controller

/// Whose endpoints are followed, however many somebody asks for.
@Suite struct EndpointWishesTests {
    private let wishes = EndpointWishes()
    private let made = Set((0..<3000).map { "made-up-\($0)" })

    @Test func followsWhatIsAskedFor() {
        #expect(wishes.admit([:]) == [])
        #expect(wishes.admit(["a": ["a", "b"], "c": ["b"]]) == ["a", "b"])
        #expect(!wishes.isRefused("a") && !wishes.isRefused("nobody's"))
    }

    @Test func readsOneWatchOfAllWhereThatIsLess() {
        #expect(wishes.admit(["mallory": made, "honest": ["honest"]]) == [""])
        #expect(!wishes.isRefused("made-up-7"))
        let half = Set(made.prefix(EndpointWishes.mostNamespaces / 2))
        #expect(wishes.admit(["mallory": half, "honest": ["honest"]]) == [""], "it does not come and go")
        #expect(wishes.admit(["mallory": half]) == half)
    }

    /// Without the right to watch the cluster nobody loses what is his.
    @Test func whoAsksForManyTakesNothingFromOthers() {
        wishes.forbidCluster()
        let followed = wishes.admit(["mallory": made.union(["mallory"]), "honest": ["honest", "shop"]])
        #expect(followed.isSuperset(of: ["honest", "shop", "mallory"]))
        #expect(followed.count == 3 + EndpointWishes.mostForeign)
        #expect(made.count(where: wishes.isRefused) == made.count - EndpointWishes.mostForeign)
        #expect(!wishes.isRefused("shop"))
        // What somebody else has a share for is followed for all.
        let more = wishes.admit(["mallory": made, "honest": ["made-up-999"]])
        #expect(more.contains("made-up-999") && !wishes.isRefused("made-up-999"))
    }
}
