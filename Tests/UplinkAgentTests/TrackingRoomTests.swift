import Testing

@testable import UplinkAgent

@Suite struct TrackingRoomTests {
    private func look(_ flows: Int?, of limit: Int? = 65_536, evicted: UInt64? = 0, dropped: UInt64? = 0) -> TrackingRoom.Look {
        TrackingRoom.Look(flows: flows, limit: limit, evicted: evicted, dropped: dropped)
    }

    @Test func thereIsRoom() {
        var room = TrackingRoom()
        for now in 0..<10 {
            let words = room.next(look(40_000, dropped: UInt64(now)), now: .seconds(now))
            #expect(words == nil)
        }
        let unknown = room.next(look(nil, of: nil), now: .seconds(11))
        let unlimited = room.next(look(5, of: 0), now: .seconds(12))
        #expect(unknown == nil && unlimited == nil && room.wanted == nil)
    }

    @Test func aTableThatIsNearlyFullIsNamedWithTheSetting() {
        var room = TrackingRoom()
        let before = room.next(look(58_982), now: .seconds(0))
        let words = room.next(look(58_983), now: .seconds(1))
        #expect(before == nil)
        #expect(
            words?.description
                == "conntrack holds 58983 flows and has room for 65536, so that new connections are dropped or soon will be: raise the "
                + "sysctl net.netfilter.nf_conntrack_max to 262144, in Kubernetes on the node")
        #expect(room.wanted == 262_144)
    }

    @Test func itIsNamedForAMinuteAndWhileItIsCrowded() {
        var room = TrackingRoom()
        let first = room.next(look(65_000), now: .seconds(0))
        let within = room.next(look(10), now: .seconds(59))
        let after = room.next(look(10), now: .seconds(60))
        #expect(first != nil && within != nil && after == nil)
        _ = room.next(look(65_000), now: .seconds(100))
        let crowded = room.next(look(50_000), now: .seconds(1000))
        let roomy = room.next(look(49_000), now: .seconds(1001))
        #expect(crowded != nil && roomy == nil)
    }

    @Test func lossesNameItToo() {
        var room = TrackingRoom()
        _ = room.next(look(10, evicted: 7), now: .seconds(0))
        let evicted = room.next(look(10, evicted: 8), now: .seconds(1))
        #expect(evicted != nil)
        // A packet that is dropped in a table with room has another cause.
        room = TrackingRoom()
        _ = room.next(look(10), now: .seconds(0))
        let few = room.next(look(10, dropped: 1), now: .seconds(1))
        let many = room.next(look(50_000, dropped: 2), now: .seconds(2))
        #expect(few == nil && many != nil)
        // What was counted before our time is not news.
        room = TrackingRoom()
        let first = room.next(look(10, evicted: 1000, dropped: 1000), now: .seconds(0))
        #expect(first == nil)
    }

    @Test(arguments: [(65_536, 262_144), (4096, 262_144), (262_144, 1_048_576), (524_288, 1_048_576)])
    func itGrowsFourfoldToALimit(limit: Int, wanted: Int) {
        var room = TrackingRoom()
        _ = room.next(look(limit, of: limit), now: .seconds(0))
        #expect(room.wanted == wanted)
    }

    @Test func noFurtherThanTheLimit() {
        var room = TrackingRoom()
        let words = room.next(look(1 << 20, of: 1 << 20), now: .seconds(0))
        #expect(words != nil && room.wanted == nil)
    }

    @Test func theKernelsCountersAreSummedOverProcessors() {
        let text = """
            entries  clashres found new invalid ignore delete chainlength insert insert_failed drop early_drop icmp_error
            00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 0000000a 00000001 00000000
            00000000  00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000000 00000010 00000002 00000000

            """
        #expect(TrackingRoom.counters(text) == (3, 26))
        #expect(TrackingRoom.counters("") == (nil, nil))
        #expect(TrackingRoom.counters("drop\nzz\n\n1 2 3") == (nil, 1))
    }
}
