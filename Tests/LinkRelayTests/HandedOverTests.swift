import LinkRelay
import LinkUplink
import Sodium
import Synchronization
import TestLinks
import Testing

/// What the edge hands to uplinks that ask for it.
@Suite(.timeLimit(.minutes(2))) struct HandedOverTests {
    private final class Box: Sendable {
        let taken = Mutex<[[UInt8]]>([])
        var inbox: LinkUplink.Inbox {
            LinkUplink.Inbox(most: 1 << 22) {
                self.taken.withLock { $0.last.map { SHA256.digest(of: $0).bytes } ?? [] }
            } take: { bytes in
                self.taken.withLock { $0.append(bytes) }
            }
        }
        var all: [[UInt8]] { taken.withLock(\.self) }
    }

    @Test func whoAsksIsToldAtOnceAndAtEachChange() async throws {
        let rig = try await LinkRig()
        let (first, second) = ([UInt8](repeating: 1, count: 3 << 20), [UInt8](repeating: 2, count: 7))
        rig.relay.hand(first)
        let box = Box()
        try await rig.running(try rig.uplink(connections: 3, inbox: box.inbox)) { rig in
            #expect(await comes { box.all == [first] })
            rig.relay.hand(first)
            rig.relay.hand(nil)
            rig.relay.hand(second)
            #expect(await comes { box.all.count > 1 })
            try await Task.sleep(for: .milliseconds(300))
            // By one link of three, and what it has is not said again.
            #expect(box.all == [first, second])
        }
    }

    /// The first is longer than a stream's window, so it is under way when the second comes.
    @Test func whatComesWhileTheOneBeforeIsUnderWayIsToldAfterIt() async throws {
        let rig = try await LinkRig()
        let box = Box()
        let (first, second) = ([UInt8](repeating: 1, count: 1 << 20), [UInt8](repeating: 2, count: 1 << 20))
        try await rig.running(try rig.uplink(connections: 2, inbox: box.inbox)) { rig in
            rig.relay.hand(first)
            try await Task.sleep(for: .milliseconds(1))
            rig.relay.hand(second)
            #expect(await comes { box.all.last == second })
        }
    }

    @Test func whoHasItIsNotToldAndWhoDoesNotAskNeither() async throws {
        let rig = try await LinkRig()
        let bytes = [UInt8](repeating: 1, count: 100)
        rig.relay.hand(bytes)
        let box = Box()
        box.taken.withLock { $0 = [bytes] }
        try await rig.running(try rig.uplink(connections: 2, inbox: box.inbox)) { rig in
            try await Task.sleep(for: .milliseconds(300))
            #expect(box.all == [bytes])
        }
        try await rig.running(try rig.uplink()) { rig in
            rig.relay.hand([1, 2, 3])
            #expect(await comes { await rig.relay.status.first?.links.count == 1 })
        }
    }

    @Test func anotherLinkAsksWhenTheFirstHasEnded() async throws {
        let rig = try await LinkRig()
        let box = Box()
        let network = try PlayedProxy(answer: "HTTP/1.1 200 OK\r\n\r\n", to: rig.linkPort)
        // The first link goes; the uplink dials again, and asks by what comes.
        try await rig.running(try rig.uplink(proxy: network.proxy(credentials: "a:b"), inbox: box.inbox)) { rig in
            rig.relay.hand([1])
            #expect(await comes { box.all == [[1]] })
            rig.relay.update(RelayService(uplinks: [], tcpPorts: [], udpPorts: []))
            rig.relay.hand([2])
            rig.relay.update(rig.service)
            #expect(await comes { box.all == [[1], [2]] })
        }
    }
}
