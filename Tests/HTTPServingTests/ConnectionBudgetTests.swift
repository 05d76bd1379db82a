import NIOCore
import NetworkTypes
import Testing

@testable import HTTPServing

@Suite struct ConnectionBudgetTests {
    private typealias Budget = ConnectionBudget<String>

    /// Connections are numbered from 1 in the order of opening.
    private func budget(total: Int = 4, ofOneSource: Int = 2, _ sources: String...) -> Budget {
        var budget = Budget(.init(total: total, ofOneSource: ofOneSource))
        for (index, source) in sources.enumerated() { _ = budget.opened(UInt64(index + 1), from: source) }
        return budget
    }

    @Test func thereIsRoom() {
        var some = budget("a", "b")
        #expect(some.opened(3, from: "a") == .stay)
        #expect(some.count == 3)
    }

    @Test func aSourceOverItsShareLosesItsOwnOldest() {
        var some = budget("a", "b", "a")
        #expect(some.opened(4, from: "a") == .stayInsteadOf(1))
        #expect(some.opened(5, from: "a") == .stayInsteadOf(3))
        #expect(some.opened(6, from: "b") == .stay)
    }

    @Test func whereAllIsTakenTheGreediestLosesItsOldest() {
        var some = budget("a", "b", "b", "c")
        #expect(some.opened(5, from: "d") == .stayInsteadOf(2))
        // All hold one now: the oldest goes.
        #expect(some.opened(6, from: "e") == .stayInsteadOf(1))
        #expect(some.count == 4)
    }

    @Test func whoIsBeingAnsweredStays() {
        var some = budget("a", "a", "b", "c")
        some.began(1)
        #expect(some.opened(5, from: "a") == .stayInsteadOf(2))
        some.began(5)
        #expect(some.opened(6, from: "a") == .leave)
        some.began(3)
        some.began(4)
        #expect(some.opened(7, from: "d") == .leave)
        some.answered(4)
        #expect(some.opened(8, from: "d") == .stayInsteadOf(4))
    }

    @Test func anAnswerMakesItTheYoungest() {
        var some = budget("a", "a")
        some.began(1)
        some.answered(1)
        #expect(some.opened(3, from: "a") == .stayInsteadOf(2))
    }

    @Test func whatIsClosedCountsNoMore() {
        var some = budget("a", "a")
        some.closed(1)
        some.closed(1)
        some.closed(99)
        #expect(some.opened(3, from: "a") == .stay)
        #expect(some.count == 2)
    }

    /// A hundred times what is usual, from one and from many.
    @Test(arguments: [1, 140, 22_000]) func aFloodTakesFromItselfAlone(sources: Int) {
        var some = ConnectionBudget<Int>(.init(total: 64, ofOneSource: 16))
        #expect(some.opened(1, from: -1) == .stay)
        some.began(1)
        for id in UInt64(2)...22_000 {
            let verdict = some.opened(id, from: Int(id) % sources)
            #expect(verdict != .leave && verdict != .stayInsteadOf(1))
            #expect(some.count <= 64)
        }
        // A newcomer is let in whatever the others hold.
        #expect(some.opened(99_999, from: -2) != .leave)
    }

    @Test(arguments: [
        ("10.1.2.3", ConnectionSource.v4(0x0A01_0203)), ("::ffff:10.1.2.3", .v4(0x0A01_0203)),
        ("2001:db8:1:2::7", .v6(0x2001_0DB8_0001_0002)), ("2001:db8:1:2:ffff::", .v6(0x2001_0DB8_0001_0002)),
    ])
    func aSourceIsAnAddressOrANetwork(text: String, source: ConnectionSource) throws {
        #expect(ConnectionSource(try SocketAddress(ipAddress: text, port: 1)) == source)
    }

    @Test func addressesOfOurOwnKindAreTheSameSource() throws {
        #expect(ConnectionSource(try IPv4Address(parsing: "10.1.2.3")) == .v4(0x0A01_0203))
        #expect(ConnectionSource(nil) == .unknown)
    }
}
