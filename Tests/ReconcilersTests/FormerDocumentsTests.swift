import EdgeAPI
import Fixtures
import NetworkTypes
import NodeDocument
import Planning
import Sodium
import Testing

@testable import Reconcilers

/// While a change is taken up, the bindings that it does not touch stay as they are.
@Suite struct FormerDocumentsTests {
    private let web = BindingID(owner: ObjectName(namespace: "default", name: "b"), name: "web")
    private let more = BindingID(owner: ObjectName(namespace: "default", name: "c"), name: "more")

    private func outcome(_ bindings: [PortBinding], after before: NodeOutcome? = nil, replicas: Int = 2) throws -> NodeOutcome {
        var outcome = try goodOutcome(bindings, replicas: replicas)
        outcome.relayPublicKey = try publicKey(99)
        if let before { outcome.formers = FormerDocuments(before: before, now: outcome) }
        return outcome
    }

    @Test func keepsWhatDidNotChange() throws {
        let first = try outcome([goodPortBinding()])
        let second = try outcome([goodPortBinding(), portBinding("c", [try tcp("more", 81)])], after: first)
        #expect(second.formers.carry(web, first.uplinkHash))
        #expect(!second.formers.carry(more, first.uplinkHash))
        #expect(!second.formers.carry(web, SHA256.digest(of: "of another time")))
        #expect(!second.formers.carry(web, nil))
        // An uplink may be two changes behind.
        let third = try outcome(
            [portBinding("b", [try tcp("web", 8080), try udp("dns", 53)]), portBinding("c", [try tcp("more", 81)])], after: second
        )
        #expect(!third.formers.carry(web, first.uplinkHash))
        #expect(!third.formers.carry(web, second.uplinkHash))
        #expect(!third.formers.carry(more, first.uplinkHash))
        #expect(third.formers.carry(more, second.uplinkHash))
        // And back to what was: the same document is no former one.
        let fourth = try outcome([goodPortBinding()], after: third)
        #expect(fourth.uplinkHash == first.uplinkHash)
        #expect(!fourth.formers.documents.contains { $0.hash == first.uplinkHash })
    }

    @Test func moreAndFewerUplinksChangeNoBinding() throws {
        let two = try outcome([goodPortBinding()])
        let three = try outcome([goodPortBinding()], after: two, replicas: 3)
        #expect(three.uplinkHash != two.uplinkHash)
        #expect(three.formers.carry(web, two.uplinkHash))
    }

    @Test func keepsNothingWhenTheTunnelIsAnother() throws {
        let first = try outcome([goodPortBinding()])
        var second = try outcome([goodPortBinding()])
        second.relayPublicKey = try publicKey(98)
        second.uplinkHash = SHA256.digest(of: "other")
        #expect(FormerDocuments(before: first, now: second).documents.isEmpty)
    }

    @Test func remembersABoundedNumber() throws {
        var last = try outcome([goodPortBinding()])
        for number in 0..<100 {
            last = try outcome([goodPortBinding(), portBinding("c", [try tcp("more", 1000 + number)])], after: last)
        }
        #expect(last.formers.documents.count == FormerDocuments.most)
    }

    /// What the fault was: one new binding, and all others `NotYetApplied` until the kubelet had brought the document.
    @Test func aBindingThatDidNotChangeKeepsItsState() throws {
        let before = try outcome([goodPortBinding()])
        let added = portBinding("c", [try tcp("more", 81)])
        var now = try outcome([goodPortBinding(), added], after: before)
        now.report?.peers = before.report?.peers ?? []
        let facts = IndexedOutcome(now)
        func reasons(_ binding: PortBinding) throws -> [BindingStatus.Reason] {
            portBindingStatus(binding, node: try edgeNode(), outcome: facts, previous: nil, now: "").bindings.map(\.reason)
        }
        #expect(try reasons(goodPortBinding()) == [.applied, .applied])
        #expect(try reasons(added) == [.notYetApplied])
        #expect(now.wait == .uplinks)
    }
}
